package memory

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Store is a backend in memory.
type Store struct {
	mu     sync.Mutex
	closed bool

	// tables are the rows of each kind, by their keys. What is in them is never changed, only replaced.
	tables map[transfer.Kind]map[string]stored
	// cookies leads from the key of a cookie to its session. It is the only index.
	cookies map[string]string
	// leases are until when notices are handed out. They do not move with a store, as claims do not.
	leases map[string]time.Time
	// notices numbers them, turns the calls of Claim.
	notices uint32
	turns   int

	ledger
}

var _ sessions.Backend = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	s := &Store{}
	s.clear()
	return s
}

func (s *Store) clear() {
	s.tables, s.cookies, s.leases = map[transfer.Kind]map[string]stored{}, map[string]string{}, map[string]time.Time{}
	for _, kind := range transfer.Kinds {
		s.tables[kind] = map[string]stored{}
	}
	s.ledger = ledger{state: transfer.Active, content: map[transfer.Kind]transfer.Content{}}
}

// Tickets implements sessions.Backend.
func (s *Store) Tickets() ticketstore.Store { return tickets{s} }

// Grants implements sessions.Backend.
func (s *Store) Grants() grantstore.Store { return grants{s} }

// Logout implements sessions.Backend.
func (s *Store) Logout() logout.Store { return endings{s} }

// Properties implements sessions.Backend.
func (s *Store) Properties() ticketstore.Properties { return properties{s} }

// Transfer makes it a store that can be moved.
func (s *Store) Transfer() transfer.Store { return mover{s} }

// Describe implements sessions.Backend. It names transfer because there is a method Transfer.
func (s *Store) Describe(context.Context) (ticketstore.Description, error) {
	return ticketstore.Description{
		Name: "memory", Version: "example", Format: 1, Services: []string{"tickets", "grants", "logout", ticketstore.PropertiesService, transfer.Service},
	}, nil
}

// Close implements sessions.Backend.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// view runs f while nothing changes.
func (s *Store) view(ctx context.Context, f func(t *tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(ctx); err != nil {
		return err
	}
	if s.state == transfer.Importing || s.state == transfer.Abandoned {
		return fmt.Errorf("%w: it is being filled from another store", ticketstore.ErrUnavailable)
	}
	return f(&tx{Store: s})
}

// change runs f alone. What it did is kept as a whole, or undone when it fails.
func (s *Store) change(ctx context.Context, f func(t *tx) error) error {
	return s.view(ctx, func(t *tx) error {
		// The fence: here, under the lock that the change holds, so that each write is before or behind it.
		if s.state == transfer.Fenced || s.state == transfer.Superseded {
			return transfer.ErrFenced
		}
		return s.transact(f)
	})
}

// rehearse runs f alone and undoes what it did.
func (s *Store) rehearse(ctx context.Context, f func(t *tx)) error {
	return s.view(ctx, func(*tx) error {
		t := &tx{Store: s, before: map[row][]byte{}}
		f(t)
		t.rollback()
		return nil
	})
}

// transact must be called with the lock held.
func (s *Store) transact(f func(t *tx) error) error {
	t := &tx{Store: s, before: map[row][]byte{}}
	if err := f(t); err != nil {
		t.rollback()
		return err
	}
	t.commit()
	return nil
}

func (s *Store) open(ctx context.Context) error {
	if s.closed {
		return fmt.Errorf("%w: it is closed", ticketstore.ErrUnavailable)
	}
	return ctx.Err()
}

// stored is a row, and the message that it is, for those who only look at it.
type stored struct {
	data    []byte
	message proto.Message
}

// row names one.
type row struct {
	kind transfer.Kind
	key  string
}

// tx is a change under way. It reads what it has written.
type tx struct {
	*Store
	// before are the rows that were changed as they were, nil for those that were not there.
	before map[row][]byte
}

// put writes a row, nil deletes it.
func (t *tx) put(kind transfer.Kind, key string, data []byte) {
	r := row{kind, key}
	if _, changed := t.before[r]; !changed {
		t.before[r] = t.tables[kind][key].data
	}
	t.set(r, data)
}

func (t *tx) delete(kind transfer.Kind, key string) { t.put(kind, key, nil) }

// set is the one place where rows change, and so where the index is kept.
func (s *Store) set(r row, data []byte) {
	table := s.tables[r.kind]
	if old, ok := table[r.key].message.(*records.Session); ok && s.cookies[string(old.Key)] == r.key {
		delete(s.cookies, string(old.Key))
	}
	if data == nil {
		delete(table, r.key)
		return
	}
	message := messageOf(r.kind)
	decode(data, message)
	table[r.key] = stored{data, message}
	if session, ok := message.(*records.Session); ok {
		s.cookies[string(session.Key)] = r.key
	}
}

func (t *tx) rollback() {
	for r, data := range t.before {
		t.set(r, data)
	}
	clear(t.before)
}

// commit counts what has changed, and journals it for whoever copies the store.
func (t *tx) commit() {
	for r, old := range t.before {
		now := t.tables[r.kind][r.key].data
		if bytes.Equal(old, now) && (old == nil) == (now == nil) {
			continue
		}
		c := t.content[r.kind]
		if old != nil {
			c.Remove(&transfer.Record{Kind: r.kind, Key: []byte(r.key), Data: old})
		}
		if now != nil {
			c.Add(&transfer.Record{Kind: r.kind, Key: []byte(r.key), Data: now})
		}
		if t.content[r.kind] = c; c.Count == 0 {
			delete(t.content, r.kind)
		}
		if t.state == transfer.Exporting || t.state == transfer.Fenced {
			t.journal = append(t.journal, r)
		}
	}
}
