package memory

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/google/btree"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type mover struct{ s *Store }

var _ transfer.Store = mover{}

func (m mover) Status(ctx context.Context) (*transfer.Status, error) {
	var status transfer.Status
	err := m.s.alone(ctx, func() error {
		status = m.s.status
		status.Content = maps.Clone(status.Content)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &status, nil
}

// Become implements transfer.Store. A database would do this in one transaction.
func (m mover) Become(ctx context.Context, turn transfer.Transition) error {
	if err := ticketstore.CheckID("id", turn.ID); err != nil {
		return err
	}
	s := m.s
	return s.alone(ctx, func() error {
		before, next := s.status.State, s.status
		if before == transfer.Importing && turn.To == transfer.Importing && turn.ID != next.ID {
			next.State = transfer.Abandoned
		}
		changed, err := rules.Turn(&next, turn)
		if err != nil || !changed {
			return err
		}
		if turn.To == transfer.Importing && before == transfer.Active && len(s.status.Content) > 0 {
			return transfer.ErrNotEmpty
		}
		s.status = next
		if next.Left == 0 {
			s.journal = nil
		}
		if turn.To == transfer.Importing {
			s.clear()
		}
		if turn.To == transfer.Active && before != transfer.Exporting {
			return s.transact(time.Time{}, func(t *tx) error {
				t.resume()
				return nil
			})
		}
		return nil
	})
}

// Export implements transfer.Store.
func (m mover) Export(ctx context.Context, after []byte) iter.Seq2[*transfer.Batch, error] {
	return func(yield func(*transfer.Batch, error) bool) {
		var snapshot *btree.BTreeG[entry]
		err := m.s.alone(ctx, func() error {
			snapshot = m.s.tree.Clone()
			return nil
		})
		if err != nil {
			yield(nil, err)
			return
		}
		batch, size, wanted := &transfer.Batch{}, 0, true
		snapshot.AscendGreaterOrEqual(entry{name: string(after)}, func(e entry) bool {
			if e.name == string(after) {
				return true
			}
			if slices.Contains(transfer.Kinds, transfer.Kind(e.name[0])) { // indexes come behind the rows
				batch.Records = append(batch.Records, *e.row.record())
				batch.Position = []byte(e.name)
				size += len(e.row.key) + len(e.row.data)
				if len(batch.Records) < transfer.MaxBatchRecords && size < transfer.MaxBatchBytes {
					return true
				}
				wanted = yield(batch, nil)
				batch, size = &transfer.Batch{}, 0
				return wanted && ctx.Err() == nil
			}
			return false
		})
		switch {
		case !wanted:
		case ctx.Err() != nil:
			yield(nil, ctx.Err())
		case len(batch.Records) > 0:
			yield(batch, nil)
		}
	}
}

func (m mover) Changes(
	ctx context.Context, id string, after uint64, limit int,
) (changes *transfer.Changes, err error) {
	if limit <= 0 {
		return nil, ticketstore.Invalidf("limit", "is not positive")
	}
	s := m.s
	err = s.alone(ctx, func() error {
		if !rules.Journals(s.status.State) || s.status.ID != id || after > s.status.Journaled {
			return fmt.Errorf("%w: it is %s", transfer.ErrState, s.status.State)
		}
		if acknowledged := s.status.Journaled - s.status.Left; after > acknowledged {
			s.journal, s.status.Left = slices.Clone(s.journal[after-acknowledged:]), s.status.Journaled-after
		}
		named := s.journal[:min(len(s.journal), limit)]
		changes = &transfer.Changes{
			Through: s.status.Journaled - s.status.Left + uint64(len(named)), Left: uint64(len(s.journal) - len(named)),
		}
		seen := map[string]bool{}
		for _, name := range named {
			if seen[name] {
				continue
			}
			seen[name] = true
			record := &transfer.Record{Kind: transfer.Kind(name[0]), Key: []byte(name[1:]), Deleted: true}
			if e, found := s.tree.Get(entry{name: name}); found {
				record = e.row.record()
			}
			changes.Records = append(changes.Records, *record)
		}
		return nil
	})
	return changes, err
}

// Import implements transfer.Store.
func (m mover) Import(ctx context.Context, id string, batches iter.Seq2[[]transfer.Record, error]) error {
	s := m.s
	for batch, err := range batches {
		if err != nil {
			return err
		}
		err = s.alone(ctx, func() error {
			if err := rules.Fills(s.status.State, s.status.ID, id); err != nil {
				return err
			}
			return s.transact(time.Time{}, func(t *tx) error {
				for i := range batch {
					if err := t.take(&batch[i]); err != nil {
						return fmt.Errorf("record %d of a batch of %d, one of %s: %w", i, len(batch), batch[i].Kind, err)
					}
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// take puts a record in the place of what has its key, as it comes.
func (t *tx) take(r *transfer.Record) error {
	message, err := rules.Import(r)
	if err != nil {
		return err
	}
	if r.Deleted {
		t.delete(r.Kind, string(r.Key))
		return nil
	}
	if n, ok := message.(*records.Notification); ok {
		rules.Release(n)
	}
	t.put(&row{r.Kind, string(r.Key), message, slices.Clone(r.Data)})
	return nil
}
