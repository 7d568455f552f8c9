package move

// Imports: records are written in transactions that take as many as fit.

import (
	"context"
	"fmt"
	"iter"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Import implements transfer.Store. A batch is one transaction, or as many as necessary.
func (m *mover) Import(ctx context.Context, id string, batches iter.Seq2[[]transfer.Record, error]) error {
	for batch, err := range batches {
		if err != nil {
			return err
		}
		for len(batch) > 0 {
			n, err := m.importSome(ctx, id, batch[:min(len(batch), transfer.MaxBatchRecords)])
			if err != nil {
				return err
			}
			batch = batch[n:]
		}
	}
	return nil
}

// importSome imports as many records as fit into one transaction, and returns how many.
func (m *mover) importSome(ctx context.Context, id string, records []transfer.Record) (n int, err error) {
	err = m.db.Commit(ctx, &kv.Change{Moves: true, Apply: func(t *kv.Tx) error {
		n = 0
		ledger := t.CurrentLedger()
		if err := rules.Fills(transfer.State(ledger.GetState()), ledger.GetId(), id); err != nil {
			return err
		}
		// Each record is a part of its own, because it may scan for rows written by the one before. If a
		// later one fails, the earlier ones stay: an import may be repeated.
		for i := range records {
			fits, err := t.Part(func(part *kv.Tx) error { return m.take(part, &records[i]) })
			if err != nil {
				return fmt.Errorf("record %d of a batch of %d, one of %s: %w", i, len(records),
					records[i].Kind, err)
			}
			if !fits {
				return nil // left for the next transaction
			}
			n++
		}
		return nil
	}})
	return n, err
}
