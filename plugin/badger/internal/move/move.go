// Package move implements transfer.Store: the states of a store, exports with the journal of changes, and
// imports. The rows derived from a record in the target are written by the caller's function.
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

// mover implements transfer.Store.
type mover struct {
	db     *kv.DB
	logger *slog.Logger
	// take writes a record and the rows derived from it, replacing the record with its key.
	take func(tx *kv.Tx, r *transfer.Record) error
	// resume resumes interrupted work.
	resume func(ctx context.Context) error
}

var _ transfer.Store = (*mover)(nil)

// New returns the transfer.Store of a database. take writes a record and the rows derived from it, replacing
// the record with its key; resume resumes interrupted work.
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

// statusOf returns the status in a ledger, without the contents.
func statusOf(ledger *recordpb.Ledger) *transfer.Status {
	return &transfer.Status{
		State: transfer.State(ledger.GetState()), ID: ledger.GetId(),
		Peer: ledger.GetPeer(), PeerStore: ledger.GetPeerStore(), Origin: ledger.GetOrigin(),
		Journaled: ledger.GetJournaled(), Left: ledger.GetJournaled() - ledger.GetAcknowledged(),
		RecordVersion: transfer.RecordVersion,
	}
}

// Become implements transfer.Store. The committer changes the ledger, so that each write is ordered before or
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
			// Resume what was running in the source, or here before the fence.
			return m.resume(ctx)
		}
	}
	return nil
}

// turned returns the ledger after a transition, or nil if the transition was made before.
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

// makeEmpty empties an incomplete target, and refuses any other store with contents.
func (m *mover) makeEmpty(ctx context.Context, turn transfer.Transition) error {
	var from []byte
	for {
		var last []byte // nil: the target is empty, or it is refused
		err := m.db.Move(ctx, func(tx *kv.Tx) error {
			ledger := tx.CurrentLedger()
			state := transfer.State(ledger.GetState())
			if state == transfer.Importing && ledger.GetId() == turn.ID {
				return nil
			}
			if state != transfer.Importing && state != transfer.Abandoned {
				found, err := firstRow(tx)
				if found {
					err = transfer.ErrNotEmpty
				}
				return err
			}
			if state == transfer.Importing {
				next := proto.CloneOf(ledger)
				next.State = string(transfer.Abandoned)
				tx.SetLedger(next)
			}
			var err error
			last, err = clearSome(tx, from)
			return err
		})
		if err != nil || last == nil {
			return err
		}
		from = last
	}
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

// clearStep is the number of keys after which clearSome checks whether its transaction is full.
const clearStep = 64

// clearSome deletes as many keys as fit into one transaction, except the ledger, the contents and rows set
// aside. It begins at a key, behind the tombstones of earlier calls, and returns the last one that it has
// deleted, or nil if none are left.
func clearSome(t *kv.Tx, from []byte) (last []byte, err error) {
	n := 0
	err = t.Scan(nil, from, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		if table := layout.TableOf(k); table != nil &&
			(bytes.Equal(table.Prefix, layout.TableLedger) ||
				bytes.Equal(table.Prefix, layout.TableDamaged)) {
			return true, nil
		}
		t.Delete(k)
		if n++; n%clearStep == 0 && t.Full() {
			last = k
		}
		return last == nil, nil
	})
	return last, err
}

// inTheBackground runs f and logs its error.
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
