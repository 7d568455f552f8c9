package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/btree"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Store is a backend in memory.
type Store struct {
	mu     sync.Mutex
	closed bool
	tree   *btree.BTreeG[entry]

	// status is what the store says of itself and of moves. Its Content changes with the rows.
	status transfer.Status
	// journal names the rows that have changed since an export began and that nobody has acknowledged.
	journal []string

	// queued numbers notifications.
	queued uint32
	// served is the client that had its turn last in the queue.
	served string
}

var _ sessions.Backend = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	s := &Store{status: transfer.Status{State: transfer.Active, RecordVersion: transfer.RecordVersion}}
	s.clear()
	return s
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
	return ticketstore.Description{Name: "memory", Version: "example", Format: 1, Services: []string{
		"tickets", "grants", "logout", ticketstore.PropertiesService, transfer.Service,
	}}, nil
}

// Close implements sessions.Backend.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// alone runs f while nobody else does anything, whatever state the store is in.
func (s *Store) alone(ctx context.Context, f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%w: it is closed", ticketstore.ErrUnavailable)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return f()
}

// tx is a look at the store, or a change under way, at a moment. It reads what it has written.
type tx struct {
	*Store
	now time.Time
	// before are the rows that were changed as they were, nil where there was none.
	before map[string]*row
}

// view runs f while nothing changes. What f changes is undone.
func (s *Store) view(ctx context.Context, now time.Time, f func(t *tx) error) error {
	return s.alone(ctx, func() error {
		if err := rules.Serves(s.status.State); err != nil {
			return err
		}
		t := &tx{s, now, map[string]*row{}}
		defer t.rollback()
		return f(t)
	})
}

// change runs f alone. What it did is kept as a whole, or undone when it fails.
func (s *Store) change(ctx context.Context, now time.Time, f func(t *tx) error) error {
	return s.alone(ctx, func() error {
		// Here, under the lock that the change holds, so that each write is before the fence or behind it.
		if err := rules.Writes(s.status.State); err != nil {
			return err
		}
		return s.transact(now, f)
	})
}

// transact must be called with the lock held.
func (s *Store) transact(now time.Time, f func(t *tx) error) error {
	t := &tx{s, now, map[string]*row{}}
	if err := f(t); err != nil {
		t.rollback()
		return err
	}
	t.commit()
	return nil
}
