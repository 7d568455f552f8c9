package kv

// The upkeep of the marker while a database is open, and the watch over its folder.

import (
	"context"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
)

// markClosed marks the store as closed, if it was marked as open.
func (d *DB) markClosed() error {
	d.marking.Lock()
	defer d.marking.Unlock()
	if d.marker == nil {
		return nil
	}
	if err := d.compactions.note.InPlace(); err != nil { // another folder gets no marker of this store
		return err
	}
	path := d.db.Opts().Dir
	d.marker.State = folder.StateClosed
	return errors.Join(d.marker.Note(path), d.writeMarker(path))
}

// markerEvery is how often the marker is compared with the folder. A new log is begun after tens of MiB.
const markerEvery = 2 * time.Second

// tendMarker keeps the marker up with the logs and the value log until the database is closed. A folder that
// is no longer in its place is the database's failure: what it acknowledged from then on would be lost.
func (d *DB) tendMarker(ctx context.Context) {
	told := ""
	every(ctx, markerEvery, func() {
		err := d.Mark()
		switch {
		case err == nil:
			told = ""
		case errors.Is(err, folder.ErrMoved):
			d.failure.note("look after the folder", err)
		case err.Error() != told:
			told = err.Error()
			d.logger.ErrorContext(ctx, "the folder of the store is not looked after, trying again",
				"error", err)
		}
	})
}

// Mark writes the marker where it is behind what the folder has.
func (d *DB) Mark() error {
	d.marking.Lock()
	defer d.marking.Unlock()
	return d.remark()
}

// remark writes the marker where it is behind.
func (d *DB) remark() error {
	path, note := d.db.Opts().Dir, &d.compactions.note
	if err := note.InPlace(); err != nil {
		return err
	}
	noted := d.marker.Note(path)
	if err := note.InPlace(); err != nil { // what was noted, or failed, may be another folder's
		return err
	}
	if errors.Is(noted, folder.ErrSync) {
		d.failure.note("sync", noted)
	}
	if noted != nil || d.marker.String() == d.marker.Written {
		return noted
	}
	return d.marker.Write(path)
}

// writeMarker writes the marker, unless another folder is in the place of its own.
func (d *DB) writeMarker(path string) error {
	if err := d.compactions.note.InPlace(); err != nil {
		return err
	}
	return d.marker.Write(path)
}

// withoutValues runs what may remove files of the value log, which the marker does not ask for meanwhile.
func (d *DB) withoutValues(f func() error) error {
	d.marking.Lock()
	defer d.marking.Unlock()
	if len(d.marker.Values) == 0 {
		return f()
	}
	values := d.marker.Values
	d.marker.Values = map[uint64]int64{}
	if err := d.writeMarker(d.db.Opts().Dir); err != nil {
		d.marker.Values = values // the marker on the disk goes on asking for them
		return err
	}
	return errors.Join(f(), d.remark())
}
