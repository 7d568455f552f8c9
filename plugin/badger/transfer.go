package badger

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// mover moves the store's content in and out.
type mover struct{ e *Engine }

var _ transfer.Store = mover{}

// Transfer returns what moves the store.
func (e *Engine) Transfer() transfer.Store { return mover{e} }

func (m mover) Status(ctx context.Context) (status *transfer.Status, err error) {
	err = m.e.look(ctx, func(r reader) error {
		ledger, err := loadLedger(r)
		if err != nil {
			return err
		}
		status = &transfer.Status{
			State: transfer.State(ledger.GetState()), ID: ledger.GetId(), Peer: ledger.GetPeer(), Origin: ledger.GetOrigin(),
			Journaled: ledger.GetJournaled(), Left: ledger.GetJournaled() - ledger.GetAcknowledged(), RecordVersion: transfer.RecordVersion,
		}
		status.Content, _, err = loadContents(r)
		return err
	})
	return status, err
}

// Become implements transfer.Store. The ledger changes in the committer, so that each write is before or after it.
func (m mover) Become(ctx context.Context, turn transfer.Transition) error {
	if err := ticketstore.CheckID("id", turn.ID); err != nil {
		return err
	}
	if turn.To == transfer.Importing {
		if err := m.makeEmpty(ctx, turn); err != nil {
			return err
		}
	}
	var before transfer.State
	err := m.e.move(ctx, func(tx *tx) error {
		before = transfer.State(tx.group.ledger.GetState())
		next, err := turned(tx, turn)
		if err != nil || next == nil {
			return err
		}
		value, err := proto.Marshal(next)
		if err != nil {
			return err
		}
		tx.ledger = next
		tx.put(ledgerKey, value)
		return nil
	})
	if err != nil {
		return err
	}
	m.e.logger.InfoContext(ctx, "store changed its state", "from", before, "to", turn.To, "move", turn.ID, "peer", turn.Peer)
	if turn.To == transfer.Active {
		m.e.inTheBackground(func(ctx context.Context) error { return m.trim(ctx) })
		if before == transfer.Importing || before == transfer.Fenced {
			// What was under way in the source, or here before the fence, goes on.
			return m.e.resume(ctx)
		}
	}
	return nil
}

// turned returns the ledger after a turn, nil when that is behind us already.
func turned(tx *tx, turn transfer.Transition) (*recordpb.Ledger, error) {
	now := tx.group.ledger
	state, same := transfer.State(now.GetState()), now.GetId() == turn.ID
	if state == turn.To && same {
		return nil, nil
	}
	allowed := false
	switch turn.To {
	case transfer.Exporting:
		allowed = state == transfer.Active
	case transfer.Fenced:
		allowed = state == transfer.Exporting && same
	case transfer.Superseded:
		allowed = state == transfer.Fenced && same
	case transfer.Active:
		allowed = same && (state == transfer.Exporting || state == transfer.Fenced || state == transfer.Importing)
	case transfer.Importing:
		allowed = state == transfer.Active || state == transfer.Abandoned
	case transfer.Abandoned:
		allowed = state == transfer.Importing
	}
	if !allowed {
		return nil, fmt.Errorf("%w: it is %s", transfer.ErrState, state)
	}
	next := proto.CloneOf(now)
	next.State, next.Id = string(turn.To), turn.ID
	if turn.Peer != "" {
		next.Peer = turn.Peer
	}
	if state == transfer.Importing && turn.To == transfer.Active {
		next.Origin = turn.ID
	}
	if turn.To == transfer.Exporting || turn.To == transfer.Active {
		// What is in the journal is of no use to anybody any more.
		next.Acknowledged, next.Overflowed = next.GetJournaled(), false
	}
	return next, nil
}

// makeEmpty empties a target that was never completed, and refuses any other store with something in it.
func (m mover) makeEmpty(ctx context.Context, turn transfer.Transition) error {
	for done := false; !done; {
		err := m.e.move(ctx, func(tx *tx) error {
			ledger := tx.group.ledger
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
				tx.ledger = proto.CloneOf(ledger)
				tx.ledger.State = string(transfer.Abandoned)
			}
			var err error
			done, err = tx.clearSome()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func firstRow(tx *tx) (found bool, err error) {
	for _, kind := range transfer.Kinds {
		k, err := firstKey(tx, tableOfKind(kind).prefix, nil)
		if err != nil || k != nil {
			return k != nil, err
		}
	}
	return false, nil
}

// clearSome deletes as many keys as one transaction takes, without the ledger, the contents and what was set aside. It tells whether that was all.
func (t *tx) clearSome() (done bool, err error) {
	n, more := 0, false
	err = t.scan(nil, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		if table := tableOf(k); table != nil && (bytes.Equal(table.prefix, tableLedger) || bytes.Equal(table.prefix, tableDamaged)) {
			return true, nil
		}
		t.delete(k)
		n++
		more = n%maxPurge == 0 && t.full()
		return !more, nil
	})
	return !more, err
}

func (m mover) Export(ctx context.Context, after []byte) iter.Seq2[*transfer.Batch, error] {
	return func(yield func(*transfer.Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(m.e.leaving, cancel)()
		stopped := false
		err := m.e.look(ctx, func(r reader) error {
			b := &transfer.Batch{}
			size := 0
			flush := func() bool {
				stopped = len(b.Records) > 0 && !yield(b, nil)
				b, size = &transfer.Batch{}, 0
				return !stopped
			}
			for i := range tables {
				t := &tables[i]
				if t.kind == 0 || (len(after) > 0 && t.kind < transfer.Kind(after[0])) {
					continue
				}
				var from []byte
				if len(after) > 0 && t.kind == transfer.Kind(after[0]) {
					from = append(key(t.prefix, after[1:]), 0)
				}
				err := r.scan(t.prefix, from, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
					v, err := value()
					if err != nil {
						return false, err
					}
					record, err := recordOf(t, k, v)
					if err != nil {
						return false, err
					}
					b.Records = append(b.Records, *record)
					b.Position = append([]byte{byte(t.kind)}, record.Key...)
					size += len(k) + len(record.Data)
					if len(b.Records) < transfer.MaxBatchRecords && size < transfer.MaxBatchBytes {
						return true, nil
					}
					if m.e.leaving.Err() != nil {
						return false, m.e.gone()
					}
					return flush(), ctx.Err()
				})
				if err != nil || stopped {
					return err
				}
			}
			flush()
			return nil
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}

func (m mover) Changes(ctx context.Context, id string, after uint64, limit int) (*transfer.Changes, error) {
	if limit <= 0 {
		return nil, ticketstore.Invalidf("limit", "is not positive")
	}
	if err := m.acknowledge(ctx, id, after); err != nil {
		return nil, err
	}
	changes := &transfer.Changes{Through: after}
	err := m.e.look(ctx, func(r reader) error {
		ledger, err := loadLedger(r)
		if err != nil {
			return err
		}
		named := map[string]bool{}
		size := 0
		err = r.scan(tableJournal, journalKey(after+1), false, func(k []byte, value func() ([]byte, error)) (bool, error) {
			name, err := value()
			if err != nil {
				return false, err
			}
			number, ok := journalNumber(k)
			if !ok {
				return false, damagedEntry(k)
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

func rowNow(r reader, name []byte) (*transfer.Record, error) {
	t := tableOf(name)
	if t == nil || t.kind == 0 {
		return nil, fmt.Errorf("journal names a row of no table: %q", name[:1])
	}
	value, err := r.get(name)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return &transfer.Record{Kind: t.kind, Key: name[len(t.prefix):], Deleted: true}, nil
	}
	return recordOf(t, name, value)
}

// acknowledge notes that the journal was applied up to a number, and deletes it up to there.
func (m mover) acknowledge(ctx context.Context, id string, number uint64) error {
	ledger := m.e.committer.books.ledger.Load()
	switch {
	case !journals(ledger) || ledger.GetId() != id:
		return fmt.Errorf("%w: it is %s", transfer.ErrState, ledger.GetState())
	case ledger.GetOverflowed():
		return transfer.ErrJournal
	case number <= ledger.GetAcknowledged():
		return nil
	}
	err := m.e.move(ctx, func(tx *tx) error {
		now := tx.group.ledger
		if !journals(now) || now.GetId() != id || number > now.GetJournaled() {
			return fmt.Errorf("%w: it is %s", transfer.ErrState, now.GetState())
		}
		tx.ledger = proto.CloneOf(now)
		tx.ledger.Acknowledged = max(now.GetAcknowledged(), number)
		return tx.trimSome(tx.ledger.Acknowledged)
	})
	return err
}

// trim deletes what is left of the journal up to what was acknowledged.
func (m mover) trim(ctx context.Context) error {
	for left := true; left; {
		err := m.e.move(ctx, func(tx *tx) error {
			upTo := tx.group.ledger.GetAcknowledged()
			if err := tx.trimSome(upTo); err != nil {
				return err
			}
			left = len(tx.writes) == maxTrim
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// maxTrim bounds the journal entries that one transaction deletes. It is more than one Changes names.
const maxTrim = 10_000

func (t *tx) trimSome(upTo uint64) error {
	n := 0
	return t.scan(tableJournal, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		number, ok := journalNumber(k)
		switch {
		case !ok:
			return false, damagedEntry(k)
		case number > upTo || n == maxTrim:
			return false, nil
		}
		t.delete(k)
		n++
		return true, nil
	})
}

// inTheBackground runs f, whose failure is worth a line in the log.
func (e *Engine) inTheBackground(f func(ctx context.Context) error) {
	err := e.inBackground(func(ctx context.Context) {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			e.logger.ErrorContext(ctx, "work behind a move was not finished", "error", err)
		}
	})
	if err != nil {
		e.logger.DebugContext(e.base, "no work behind a move: the store closes")
	}
}
