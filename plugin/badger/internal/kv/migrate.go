package kv

// Migrations of databases of older formats.

import (
	"context"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// migrate migrates a database of an older format before anything else is done with it. It may be interrupted
// and repeated: the marker with the new format is written last.
func (d *DB) migrate(ctx context.Context, format int) error {
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	r := &Snapshot{txn: txn, damages: d.damages}
	_, found, err := LoadContents(r)
	if layout.IsDamage(err) {
		found, err = false, r.StepOver(err) // contents are easy to recompute
	}
	if err != nil || (found && format >= layout.Version) {
		return err
	}
	write := d.db.NewTransaction(true)
	defer write.Discard()
	if !found {
		contents, err := CountContents(ctx, r)
		if err != nil {
			return err
		}
		value, err := encodeContents(contents)
		if err != nil {
			return err
		}
		if err := write.Set(layout.ContentsKey, value); err != nil {
			return err
		}
	}
	if format <= 2 {
		if err := write.Set(layout.MakeSmallKey, []byte{}); err != nil { // for the purges to come
			return err
		}
	}
	if format <= 3 {
		if err := write.Set(layout.UnlistKey, []byte{}); err != nil { // for the engine, before it serves
			return err
		}
	}
	err = write.Commit()
	if err == nil {
		err = d.db.Sync() // before the marker, also if commits are not synced: it records remaining work
	}
	if err != nil {
		d.failure.note("migrate", err)
		return d.failure.err()
	}
	return nil
}

// CountContents counts and sums all records except damaged ones, which do not move.
func CountContents(ctx context.Context, r Reader) (map[transfer.Kind]transfer.Content, error) {
	contents := map[transfer.Kind]transfer.Content{}
	for _, kind := range transfer.Kinds {
		t := layout.TableOfKind(kind)
		c := contents[kind]
		err := r.Scan(t.Prefix, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
			v, err := value()
			if err != nil {
				return false, err
			}
			record, err := layout.RecordOf(t, k, v)
			if err != nil {
				return true, r.StepOver(err)
			}
			c.Add(record)
			return true, ctx.Err()
		})
		if err != nil {
			return nil, err
		}
		if c != (transfer.Content{}) {
			contents[kind] = c
		}
	}
	return contents, nil
}
