package kv

// The recount of a database's contents after a change whose effect on them is unknown.

import (
	"context"
	"encoding/binary"
	"maps"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// What a row has added to the contents is computed from its value. Of a damaged row that has gone it is
// unknown any more: then a key says in the same transaction that the contents are in doubt, and all rows are
// counted again afterwards, so that the next move finds them right.

// doubt wakes tendContents.
func (c *committer) doubt() {
	select {
	case c.doubts <- struct{}{}:
	default:
	}
}

// Recounts returns how often the contents came into doubt since they were counted, 0 when they are right.
func Recounts(r Reader) (uint64, error) {
	value, err := r.Get(layout.RecountKey)
	n, _ := binary.Uvarint(value)
	return n, err
}

// tendContents counts the contents again whenever they are in doubt, until the database is closed.
func (d *DB) tendContents(ctx context.Context) {
	d.committer.doubt() // perhaps since before the start
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.committer.doubts:
		}
		if err := d.recount(ctx); err != nil && ctx.Err() == nil {
			d.logger.ErrorContext(ctx,
				"contents cannot be recounted: restart the plugin before a swap, which would find them wrong",
				"error", err)
		}
	}
}

// recount counts the rows of a snapshot and adds what is wrong to the contents, whatever has been written
// meanwhile: sums can be added.
func (d *DB) recount(ctx context.Context) error {
	var counted map[transfer.Kind]transfer.Content
	var doubts uint64
	var v *view
	// In the committer no commit comes between the snapshot and the contents that belong to it.
	err := d.Move(ctx, func(tx *Tx) (err error) {
		if doubts, err = Recounts(&tx.base); doubts == 0 {
			return err
		}
		v = d.committer.views.take()
		counted = maps.Clone(d.committer.metadata.contents)
		return err
	})
	if v == nil {
		return err
	}
	defer d.committer.views.give(v)
	if err != nil {
		return err
	}
	actual, err := CountContents(ctx, &Snapshot{txn: v.txn, damages: d.damages})
	if err != nil {
		return err
	}
	wrong := map[transfer.Kind]transfer.Content{}
	for _, kind := range transfer.Kinds {
		a, c := actual[kind], counted[kind]
		wrong[kind] = transfer.Content{Count: a.Count - c.Count, Sum: a.Sum - c.Sum}
	}
	return d.Move(ctx, func(tx *Tx) error {
		tx.correction = wrong
		now, err := Recounts(tx)
		if err == nil && now == doubts {
			tx.Delete(layout.RecountKey)
		}
		return err
	})
}
