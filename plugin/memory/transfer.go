package memory

// Moves: states, exports, the journal and imports.

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/google/btree"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (m mover) Status(ctx context.Context) (*transfer.Status, error) {
	return exclusively(ctx, m.Store, func() (*transfer.Status, error) {
		status := m.status
		status.Content = maps.Clone(status.Content)
		return &status, nil
	})
}

// Become implements transfer.Store. A database would do this in one transaction.
func (m mover) Become(ctx context.Context, turn transfer.Transition) error {
	if err := ticketstore.CheckID("id", turn.ID); err != nil {
		return err
	}
	_, err := exclusively(ctx, m.Store, func() (changed bool, err error) {
		before, next := m.status.State, m.status
		if changed, err = rules.Turn(&next, turn); err != nil || !changed {
			return false, err
		}
		if turn.To == transfer.Importing && before == transfer.Active && len(next.Content) > 0 {
			return false, transfer.ErrNotEmpty
		}
		m.status, m.journal = next, m.journal[:next.Left]
		m.kills.Add(&grantstore.Kill{All: true})
		if turn.To == transfer.Importing {
			m.clear()
		}
		if turn.To != transfer.Active || before == transfer.Exporting {
			return true, nil
		}
		return transact(m.Store, anyTime, func(t *tx) (bool, error) {
			t.resume()
			return true, nil
		})
	})
	return err
}

// Export implements transfer.Store.
func (m mover) Export(ctx context.Context, after []byte) iter.Seq2[*transfer.Batch, error] {
	return func(yield func(*transfer.Batch, error) bool) {
		snapshot, err := exclusively(ctx, m.Store, func() (*btree.BTreeG[entry], error) {
			return m.tree.Clone(), nil
		})
		if err != nil {
			yield(nil, err)
			return
		}
		batches := transfer.NewBatcher(yield)
		snapshot.AscendGreaterOrEqual(entry{name: string(after)}, func(e entry) bool {
			rows := slices.Contains(transfer.Kinds, transfer.Kind(e.name[0])) // indexes come after them
			return rows && (e.name == string(after) || (batches.Add(e.row.record()) && ctx.Err() == nil))
		})
		batches.End(ctx.Err())
	}
}

func (m mover) Changes(ctx context.Context, id string, after uint64, limit int) (*transfer.Changes, error) {
	if err := ticketstore.CheckPositive("limit", limit); err != nil {
		return nil, err
	}
	return exclusively(ctx, m.Store, func() (*transfer.Changes, error) {
		if !rules.Journals(m.status.State) || m.status.ID != id || after > m.status.Journaled {
			return nil, fmt.Errorf("%w: it is %s", transfer.ErrState, m.status.State)
		}
		if left := m.status.Journaled - after; left < m.status.Left { // acknowledged up to after
			m.journal, m.status.Left = slices.Clone(m.journal[m.status.Left-left:]), left
		}
		changes, seen, size := &transfer.Changes{Left: m.status.Left}, map[string]bool{}, 0
		for _, name := range m.journal[:min(len(m.journal), limit)] {
			if size >= transfer.MaxBatchBytes {
				break
			}
			changes.Left--
			if seen[name] {
				continue
			}
			seen[name] = true
			record := &transfer.Record{Kind: transfer.Kind(name[0]), Key: []byte(name[1:]), Deleted: true}
			if e, found := m.tree.Get(entry{name: name}); found {
				record = e.row.record()
			}
			changes.Records = append(changes.Records, *record)
			size += len(record.Data)
		}
		changes.Through = m.status.Journaled - changes.Left
		return changes, nil
	})
}

// Import implements transfer.Store.
func (m mover) Import(ctx context.Context, id string, batches iter.Seq2[[]transfer.Record, error]) error {
	for batch, err := range batches {
		if err != nil {
			return err
		}
		_, err = exclusively(ctx, m.Store, func() (int, error) {
			if err := rules.Fills(m.status.State, m.status.ID, id); err != nil {
				return 0, err
			}
			return transact(m.Store, anyTime, func(t *tx) (n int, err error) {
				for ; n < len(batch) && err == nil; n++ {
					if err = t.take(&batch[n]); err != nil {
						err = fmt.Errorf("record %d of %d, one of %s: %w", n, len(batch), batch[n].Kind, err)
					}
				}
				return n, err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// take stores a record, replacing the one with its key.
func (t *tx) take(r *transfer.Record) error {
	message, err := rules.Import(r)
	switch n, _ := message.(*records.Notification); {
	case err != nil:
		return err
	case r.Deleted:
		t.delete(r.Kind, string(r.Key))
		return nil
	case n != nil:
		rules.Release(n)
	}
	t.replace(nameOf(r.Kind, string(r.Key)), &row{r.Kind, string(r.Key), message, slices.Clone(r.Data)})
	return nil
}
