package memory

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// ledger is what the store knows of itself and of moves.
type ledger struct {
	state  transfer.State
	id     string // the move's
	peer   string
	origin string
	// content counts and sums up the rows; it changes with them.
	content map[transfer.Kind]transfer.Content
	// journal are the rows that have changed since an export began and that nobody has acknowledged. The last one has the number journaled().
	journal      []row
	acknowledged uint64
}

func (l *ledger) journaled() uint64 { return l.acknowledged + uint64(len(l.journal)) }

type mover struct{ s *Store }

var _ transfer.Store = mover{}

// locked runs f alone, whatever state the store is in.
func (m mover) locked(ctx context.Context, f func(s *Store) error) error {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	if err := m.s.open(ctx); err != nil {
		return err
	}
	return f(m.s)
}

func (m mover) Status(ctx context.Context) (status *transfer.Status, err error) {
	err = m.locked(ctx, func(s *Store) error {
		status = &transfer.Status{
			State: s.state, ID: s.id, Peer: s.peer, Origin: s.origin, Content: maps.Clone(s.content),
			Journaled: s.journaled(), Left: uint64(len(s.journal)), RecordVersion: transfer.RecordVersion,
		}
		return nil
	})
	return status, err
}

// Become implements transfer.Store. A database would do this in one transaction.
func (m mover) Become(ctx context.Context, turn transfer.Transition) error {
	if err := ticketstore.CheckID("id", turn.ID); err != nil {
		return err
	}
	return m.locked(ctx, func(s *Store) error {
		if s.state == turn.To && s.id == turn.ID {
			return nil
		}
		if !s.mayBecome(turn) {
			return fmt.Errorf("%w: it is %s", transfer.ErrState, s.state)
		}
		before := s.state
		if turn.To == transfer.Importing {
			if before == transfer.Active && len(s.content) > 0 {
				return transfer.ErrNotEmpty
			}
			s.clear()
		}
		if turn.To == transfer.Exporting || turn.To == transfer.Active {
			s.acknowledged, s.journal = s.journaled(), nil // what is in it is of no use to anybody any more
		}
		s.state, s.id = turn.To, turn.ID
		if turn.Peer != "" {
			s.peer = turn.Peer
		}
		if turn.To != transfer.Active || before == transfer.Exporting {
			return nil
		}
		if before == transfer.Importing {
			s.origin = turn.ID
		}
		return s.transact(func(t *tx) error { t.resume(); return nil })
	})
}

func (l *ledger) mayBecome(turn transfer.Transition) bool {
	now, same := l.state, l.id == turn.ID
	switch turn.To {
	case transfer.Exporting:
		return now == transfer.Active
	case transfer.Fenced:
		return now == transfer.Exporting && same
	case transfer.Superseded:
		return now == transfer.Fenced && same
	case transfer.Active:
		return same && (now == transfer.Exporting || now == transfer.Fenced || now == transfer.Importing)
	case transfer.Importing:
		return now == transfer.Active || now == transfer.Abandoned || now == transfer.Importing
	case transfer.Abandoned:
		return now == transfer.Importing
	}
	return false
}

// Export implements transfer.Store. Bytes of rows are never changed, so that a list of them is a snapshot.
func (m mover) Export(ctx context.Context, after []byte) iter.Seq2[*transfer.Batch, error] {
	return func(yield func(*transfer.Batch, error) bool) {
		var records []transfer.Record
		err := m.locked(ctx, func(s *Store) error {
			for _, kind := range transfer.Kinds {
				for key, row := range s.tables[kind] {
					if positionOf(kind, key) > string(after) {
						records = append(records, transfer.Record{Kind: kind, Key: []byte(key), Data: row.data})
					}
				}
			}
			return nil
		})
		slices.SortFunc(records, func(a, b transfer.Record) int {
			return strings.Compare(positionOf(a.Kind, string(a.Key)), positionOf(b.Kind, string(b.Key)))
		})
		for err == nil && len(records) > 0 {
			n, size := 0, 0
			for n < min(len(records), transfer.MaxBatchRecords) && size < transfer.MaxBatchBytes {
				size += len(records[n].Key) + len(records[n].Data)
				n++
			}
			last := &records[n-1]
			batch := &transfer.Batch{Records: records[:n:n], Position: []byte(positionOf(last.Kind, string(last.Key)))}
			if !yield(batch, nil) {
				return
			}
			records, err = records[n:], ctx.Err()
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func positionOf(kind transfer.Kind, key string) string { return string([]byte{byte(kind)}) + key }

func (m mover) Changes(ctx context.Context, id string, after uint64, limit int) (changes *transfer.Changes, err error) {
	if limit <= 0 {
		return nil, ticketstore.Invalidf("limit", "is not positive")
	}
	err = m.locked(ctx, func(s *Store) error {
		if (s.state != transfer.Exporting && s.state != transfer.Fenced) || s.id != id || after > s.journaled() {
			return fmt.Errorf("%w: it is %s", transfer.ErrState, s.state)
		}
		if after > s.acknowledged {
			s.journal, s.acknowledged = slices.Clone(s.journal[after-s.acknowledged:]), after
		}
		named := s.journal[:min(len(s.journal), limit)]
		changes = &transfer.Changes{Through: s.acknowledged + uint64(len(named)), Left: uint64(len(s.journal) - len(named))}
		seen := map[row]bool{}
		for _, r := range named {
			if !seen[r] {
				seen[r] = true
				data := s.tables[r.kind][r.key].data
				changes.Records = append(changes.Records, transfer.Record{Kind: r.kind, Key: []byte(r.key), Data: data, Deleted: data == nil})
			}
		}
		return nil
	})
	return changes, err
}

// Import implements transfer.Store.
func (m mover) Import(ctx context.Context, id string, batches iter.Seq2[[]transfer.Record, error]) error {
	for batch, err := range batches {
		if err != nil {
			return err
		}
		err = m.locked(ctx, func(s *Store) error {
			if s.state != transfer.Importing || s.id != id {
				return fmt.Errorf("%w: it is %s", transfer.ErrState, s.state)
			}
			return s.transact(func(t *tx) error {
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
	key := string(r.Key)
	if key == "" {
		return ticketstore.Invalidf("key", "is empty")
	}
	message := messageOf(r.Kind)
	switch r.Kind {
	case transfer.Clients:
		if sid, client, found := strings.Cut(key, "\x00"); !found || sid == "" || client == "" {
			return ticketstore.Invalidf("key", "does not name a session and a client")
		}
	case transfer.Grants:
		if _, ok := records.RefOf(key); !ok {
			return ticketstore.Invalidf("key", "is not that of a grant")
		}
	case transfer.Purges:
	default:
		if message == nil {
			return ticketstore.Invalidf("kind", "%d is none that this store knows", r.Kind)
		}
	}
	if r.Deleted {
		t.delete(r.Kind, key)
		return nil
	}
	if message != nil && proto.Unmarshal(r.Data, message) != nil {
		return ticketstore.Invalidf("data", "is no record of %s", r.Kind)
	}
	if s, ok := message.(*records.Session); ok && (s.SessionId != key || len(s.Key) != len(ticketstore.Key{}) || s.Expires == 0) {
		return ticketstore.Invalidf("data", "is not the session that its key says")
	}
	if p, ok := message.(*records.Property); ok {
		if err := ticketstore.CheckProperty(key, p.GetValue()); err != nil {
			return err
		}
		if len(p.GetValue()) == 0 {
			return ticketstore.Invalidf("data", "is a property without a value")
		}
	}
	t.put(r.Kind, key, append([]byte{}, r.Data...))
	return nil
}
