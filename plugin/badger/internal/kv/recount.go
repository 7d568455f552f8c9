package kv

// The recount of a database's contents after a change with an unknown effect on them.

import (
	"context"
	"encoding/binary"
	"maps"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// A row's part in the contents is computed from its value. That of a damaged row that was deleted is unknown:
// the same transaction then writes a key that marks the contents as inexact, and all rows are counted again
// afterwards, so that the contents are exact for the next move.

// requestRecount wakes tendContents.
func (c *committer) requestRecount() {
	select {
	case c.recounts <- struct{}{}:
	default:
	}
}

// Recounts returns how often the contents became inexact since the last count, or 0 if they are exact.
func Recounts(r Reader) (uint64, error) {
	value, err := r.Get(layout.RecountKey)
	n, _ := binary.Uvarint(value)
	return n, err
}

// tendContents recounts the contents whenever they are inexact, until the database is closed.
func (d *DB) tendContents(ctx context.Context) {
	d.committer.requestRecount() // they may be inexact since an earlier run
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.committer.recounts:
		}
		if err := d.recount(ctx); err != nil && ctx.Err() == nil {
			d.logger.ErrorContext(ctx,
				"contents cannot be recounted: restart the plugin before a swap, which would find them wrong",
				"error", err)
		}
	}
}

// recount counts the rows of a snapshot and adds the difference to the contents, regardless of concurrent
// writes, because sums are additive.
func (d *DB) recount(ctx context.Context) error {
	var counted map[transfer.Kind]transfer.Content
	var recounts uint64
	var v *view
	// Within the committer no commit can come between the snapshot and its contents.
	err := d.Move(ctx, func(tx *Tx) (err error) {
		if recounts, err = Recounts(&tx.base); recounts == 0 {
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
		if err == nil && now == recounts {
			tx.Delete(layout.RecountKey)
		}
		return err
	})
}
