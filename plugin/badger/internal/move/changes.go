package move

// Changes since an export began: reading and acknowledging the journal.

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (m *mover) Changes(ctx context.Context, id string, after uint64, limit int) (*transfer.Changes, error) {
	if err := ticketstore.CheckPositive("limit", limit); err != nil {
		return nil, err
	}
	if err := m.acknowledge(ctx, id, after); err != nil {
		return nil, err
	}
	changes := &transfer.Changes{Through: after}
	err := m.db.Look(ctx, func(r *kv.Snapshot) error {
		ledger, err := kv.LoadLedger(r)
		if err != nil {
			return err
		}
		named := map[string]bool{}
		size := 0
		err = r.Scan(layout.TableJournal, layout.JournalKey(after+1), false,
			func(k []byte, value func() ([]byte, error)) (bool, error) {
				name, err := value()
				if err != nil {
					return false, err
				}
				number, ok := layout.JournalNumber(k)
				if !ok {
					return false, layout.DamagedEntry(k)
				}
				changes.Through = number
				if !named[string(name)] {
					named[string(name)] = true
					record, err := rowNow(r, name)
					if err != nil {
						return false, err
					}
					changes.Records = append(changes.Records, *record)
					size += len(record.Data)
				}
				limit--
				return limit > 0 && size < transfer.MaxBatchBytes, nil
			})
		changes.Left = ledger.GetJournaled() - changes.Through
		return err
	})
	return changes, err
}

func rowNow(r kv.Reader, name []byte) (*transfer.Record, error) {
	t := layout.TableOf(name)
	if t == nil || t.Kind == 0 {
		return nil, fmt.Errorf("journal names a row of no table: %q", name[:1])
	}
	value, err := r.Get(name)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return &transfer.Record{Kind: t.Kind, Key: name[len(t.Prefix):], Deleted: true}, nil
	}
	return layout.RecordOf(t, name, value)
}

// acknowledge records that the journal was applied up to a number, and deletes the entries up to it.
func (m *mover) acknowledge(ctx context.Context, id string, number uint64) error {
	ledger := m.db.Ledger()
	switch {
	case !kv.Journals(ledger) || ledger.GetId() != id:
		return fmt.Errorf("%w: it is %s", transfer.ErrState, ledger.GetState())
	case ledger.GetOverflowed():
		return transfer.ErrJournal
	case number <= ledger.GetAcknowledged():
		return nil
	}
	err := m.db.Move(ctx, func(tx *kv.Tx) error {
		now := tx.CurrentLedger()
		if !kv.Journals(now) || now.GetId() != id || number > now.GetJournaled() {
			return fmt.Errorf("%w: it is %s", transfer.ErrState, now.GetState())
		}
		next := proto.CloneOf(now)
		next.Acknowledged = max(now.GetAcknowledged(), number)
		tx.SetLedger(next)
		return trimSome(tx, next.Acknowledged)
	})
	return err
}

// trim deletes the acknowledged entries of the journal.
func (m *mover) trim(ctx context.Context) error {
	for left := true; left; {
		err := m.db.Move(ctx, func(tx *kv.Tx) error {
			upTo := tx.CurrentLedger().GetAcknowledged()
			if err := trimSome(tx, upTo); err != nil {
				return err
			}
			left = tx.KeysWritten() == maxTrim
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// maxTrim bounds the journal entries deleted by one transaction. It exceeds the number named by one call of
// Changes.
const maxTrim = 10_000

func trimSome(t *kv.Tx, upTo uint64) error {
	n := 0
	return t.Scan(layout.TableJournal, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		number, ok := layout.JournalNumber(k)
		switch {
		case !ok:
			return false, layout.DamagedEntry(k)
		case number > upTo || n == maxTrim:
			return false, nil
		}
		t.Delete(k)
		n++
		return true, nil
	})
}
