// Package move moves the content of a store in and out (transfer.Store): its states, exports with the journal
// of changes beside them, and imports. What a record is made of in the target, its caller knows.
package move

import (
	"bytes"
	"context"
	"log/slog"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// mover moves the store's content in and out.
type mover struct {
	db     *kv.DB
	logger *slog.Logger
	// take puts a record, and what is made from it, in the place of what has its key.
	take func(tx *kv.Tx, r *transfer.Record) error
	// resume goes on with what was interrupted.
	resume func(ctx context.Context) error
}

var _ transfer.Store = (*mover)(nil)

// New returns what moves the store. Take puts a record, and what is made from it, in the place of what has
// its key; resume goes on with what was interrupted.
func New(
	db *kv.DB, logger *slog.Logger,
	take func(tx *kv.Tx, r *transfer.Record) error, resume func(ctx context.Context) error,
) transfer.Store {
	return &mover{db, logger, take, resume}
}

func (m *mover) Status(ctx context.Context) (status *transfer.Status, err error) {
	err = m.db.Look(ctx, func(r *kv.Snapshot) error {
		ledger, err := kv.LoadLedger(r)
		if err != nil {
			return err
		}
		status = statusOf(ledger)
		status.Content, _, err = kv.LoadContents(r)
		return err
	})
	return status, err
}

// statusOf is what a ledger says, without the contents.
func statusOf(ledger *recordpb.Ledger) *transfer.Status {
	return &transfer.Status{
		State: transfer.State(ledger.GetState()), ID: ledger.GetId(),
		Peer: ledger.GetPeer(), PeerStore: ledger.GetPeerStore(), Origin: ledger.GetOrigin(),
		Journaled: ledger.GetJournaled(), Left: ledger.GetJournaled() - ledger.GetAcknowledged(),
		RecordVersion: transfer.RecordVersion,
	}
}

// Become implements transfer.Store. The ledger changes in the committer, so that each write is before or
// after it.
func (m *mover) Become(ctx context.Context, turn transfer.Transition) error {
	if err := ticketstore.CheckID("id", turn.ID); err != nil {
		return err
	}
	if turn.To == transfer.Importing {
		if err := m.makeEmpty(ctx, turn); err != nil {
			return err
		}
	}
	var before transfer.State
	err := m.db.Move(ctx, func(tx *kv.Tx) error {
		before = transfer.State(tx.CurrentLedger().GetState())
		next, err := turned(tx, turn)
		if err != nil || next == nil {
			return err
		}
		value, err := proto.Marshal(next)
		if err != nil {
			return err
		}
		tx.SetLedger(next)
		tx.Put(layout.LedgerKey, value)
		return nil
	})
	if err != nil {
		return err
	}
	m.logger.InfoContext(ctx, "store changed its state", "from", before, "to", turn.To, "move", turn.ID,
		"peer", turn.Peer)
	if turn.To == transfer.Active {
		m.inTheBackground(func(ctx context.Context) error { return m.trim(ctx) })
		if before == transfer.Importing || before == transfer.Fenced {
			// What was under way in the source, or here before the fence, goes on.
			return m.resume(ctx)
		}
	}
	return nil
}

// turned returns the ledger after a turn, nil when the turn was made before.
func turned(tx *kv.Tx, turn transfer.Transition) (*recordpb.Ledger, error) {
	now := tx.CurrentLedger()
	status := statusOf(now)
	changed, err := rules.Turn(status, turn)
	if err != nil || !changed {
		return nil, err
	}
	next := proto.CloneOf(now)
	next.State, next.Id, next.Origin = string(status.State), status.ID, status.Origin
	next.Peer, next.PeerStore = status.Peer, status.PeerStore
	next.Acknowledged, next.Overflowed = status.Journaled-status.Left, now.GetOverflowed() && status.Left > 0
	return next, nil
}

// makeEmpty empties a target that was never completed, and refuses any other store with something in it.
func (m *mover) makeEmpty(ctx context.Context, turn transfer.Transition) error {
	for done := false; !done; {
		err := m.db.Move(ctx, func(tx *kv.Tx) error {
			ledger := tx.CurrentLedger()
			state := transfer.State(ledger.GetState())
			if state == transfer.Importing && ledger.GetId() == turn.ID {
				done = true
				return nil
			}
			if state != transfer.Importing && state != transfer.Abandoned {
				found, err := firstRow(tx)
				if found {
					err = transfer.ErrNotEmpty
				}
				done = true
				return err
			}
			if state == transfer.Importing {
				next := proto.CloneOf(ledger)
				next.State = string(transfer.Abandoned)
				tx.SetLedger(next)
			}
			var err error
			done, err = clearSome(tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func firstRow(tx *kv.Tx) (found bool, err error) {
	for _, kind := range transfer.Kinds {
		k, err := kv.FirstKey(tx, layout.TableOfKind(kind).Prefix, nil)
		if err != nil || k != nil {
			return k != nil, err
		}
	}
	return false, nil
}

// clearStep is after how many keys clearSome asks whether its transaction is full.
const clearStep = 64

// clearSome deletes as many keys as one transaction takes, without the ledger, the contents and what was set
// aside. It reports whether that was all.
func clearSome(t *kv.Tx) (done bool, err error) {
	n, more := 0, false
	err = t.Scan(nil, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		if table := layout.TableOf(k); table != nil &&
			(bytes.Equal(table.Prefix, layout.TableLedger) ||
				bytes.Equal(table.Prefix, layout.TableDamaged)) {
			return true, nil
		}
		t.Delete(k)
		n++
		more = n%clearStep == 0 && t.Full()
		return !more, nil
	})
	return !more, err
}

// inTheBackground runs f, whose failure is worth a line in the log.
func (m *mover) inTheBackground(f func(ctx context.Context) error) {
	err := m.db.InBackground(func(ctx context.Context) {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			m.logger.ErrorContext(ctx, "work after a move was not finished", "error", err)
		}
	})
	if err != nil {
		m.logger.DebugContext(m.db.Base(), "no work after a move: the store closes")
	}
}
