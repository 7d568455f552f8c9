package kv

// Updates of the marker while a database is open, and monitoring of its folder.

import (
	"context"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
)

// markClosed marks the store as closed if it was marked as open.
func (d *DB) markClosed() error {
	d.marking.Lock()
	defer d.marking.Unlock()
	if d.marker == nil {
		return nil
	}
	if err := d.compactions.note.InPlace(); err != nil { // do not write this store's marker to another folder
		return err
	}
	path := d.db.Opts().Dir
	d.marker.State = folder.StateClosed
	return errors.Join(d.marker.Note(path), d.writeMarker(path))
}

// markerEvery is the interval at which the marker is compared with the folder. Badger starts a new log after
// tens of MiB.
const markerEvery = 2 * time.Second

// tendMarker keeps the marker up to date with the logs and the value log until the database is closed. A
// folder that was moved or replaced is a failure of the database: later acknowledged writes would be lost.
func (d *DB) tendMarker(ctx context.Context) {
	told := ""
	every(ctx, markerEvery, func() {
		err := d.Mark()
		switch {
		case err == nil:
			told = ""
		case errors.Is(err, folder.ErrMoved):
			d.failure.note("update the marker", err)
		case err.Error() != told:
			told = err.Error()
			d.logger.ErrorContext(ctx, "the store's marker cannot be updated, retrying",
				"error", err)
		}
	})
}

// Mark updates the marker if it is outdated.
func (d *DB) Mark() error {
	d.marking.Lock()
	defer d.marking.Unlock()
	return d.remark()
}

// remark updates the marker if it is outdated.
func (d *DB) remark() error {
	path, note := d.db.Opts().Dir, &d.compactions.note
	if err := note.InPlace(); err != nil {
		return err
	}
	noted := d.marker.Note(path)
	if err := note.InPlace(); err != nil { // a failure may concern another folder
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

// writeMarker writes the marker unless its folder was replaced.
func (d *DB) writeMarker(path string) error {
	if err := d.compactions.note.InPlace(); err != nil {
		return err
	}
	return d.marker.Write(path)
}

// withoutValues runs f, which may remove files of the value log, with a marker that does not require these
// files.
func (d *DB) withoutValues(f func() error) error {
	d.marking.Lock()
	defer d.marking.Unlock()
	if len(d.marker.Values) == 0 {
		return f()
	}
	values := d.marker.Values
	d.marker.Values = map[uint64]int64{}
	if err := d.writeMarker(d.db.Opts().Dir); err != nil {
		d.marker.Values = values // the marker on disk still requires them
		return err
	}
	return errors.Join(f(), d.remark())
}
