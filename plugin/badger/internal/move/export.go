package move

// Exports: all records of one snapshot, in batches.

import (
	"context"
	"iter"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Export implements transfer.Store. Its reader keeps the database open: an export stops when the database
// closes.
func (m *mover) Export(ctx context.Context, after []byte) iter.Seq2[*transfer.Batch, error] {
	return func(yield func(*transfer.Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(m.db.Base(), cancel)()
		batches := transfer.NewBatcher(yield)
		batches.End(m.db.Look(ctx, func(r *kv.Snapshot) error { return m.export(ctx, r, after, batches) }))
	}
}

// export adds the records after a position, which is the kind and key of a record.
func (m *mover) export(ctx context.Context, r kv.Reader, after []byte, batches *transfer.Batcher) error {
	for i := range layout.Tables {
		t := &layout.Tables[i]
		if t.Kind == 0 || (len(after) > 0 && t.Kind < transfer.Kind(after[0])) {
			continue
		}
		var from []byte
		if len(after) > 0 && t.Kind == transfer.Kind(after[0]) {
			from = append(layout.Key(t.Prefix, after[1:]), 0)
		}
		wanted := true
		err := r.Scan(t.Prefix, from, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
			v, err := value()
			if err != nil {
				return false, err
			}
			record, err := layout.RecordOf(t, k, v)
			if err != nil {
				return false, err
			}
			if m.db.Base().Err() != nil {
				return false, m.db.Gone()
			}
			wanted = batches.Add(record)
			return wanted, ctx.Err()
		})
		if err != nil || !wanted {
			return err
		}
	}
	return nil
}
