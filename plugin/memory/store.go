package memory

// The store, and the transactions in which all others work.

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/btree"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/kills"
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
	// journal names the rows that have changed since an export began and that are not acknowledged yet.
	journal []string

	// queued numbers notifications; served is the client that had its turn last in their queue.
	queued uint32
	served string
	// kills are told under the lock, with the change (rule 15).
	kills kills.Log
}

// What a backend consists of, all over the same rows.
type (
	tickets    struct{ *Store }
	grants     struct{ *Store }
	endings    struct{ *Store }
	properties struct{ *Store }
	mover      struct{ *Store }
)

var (
	_ sessions.Backend       = (*Store)(nil)
	_ ticketstore.Store      = tickets{}
	_ grantstore.Store       = grants{}
	_ logout.Store           = endings{}
	_ ticketstore.Properties = properties{}
	_ transfer.Store         = mover{}
)

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

// Kills makes it a store whose access tokens may be cached.
func (s *Store) Kills() grantstore.Kills { return &s.kills }

// Describe implements sessions.Backend. It names transfer and kills because there are methods of that name.
func (s *Store) Describe(context.Context) (ticketstore.Description, error) {
	return ticketstore.Description{Name: "memory", Version: "example", Format: 1, Services: []string{
		"tickets", "grants", "logout", ticketstore.PropertiesService, transfer.Service,
		grantstore.KillsService,
	}}, nil
}

// Close implements sessions.Backend.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.kills.Close()
	return nil
}

// tx is a look at the store, or a change under way, at a moment. It reads what it has written.
type tx struct {
	*Store
	now time.Time
	// before are the rows that were changed as they were, nil where there was none.
	before map[string]*row
}

// alone runs f while no other call works, whatever state the store is in.
func alone[T any](ctx context.Context, s *Store, f func() (T, error)) (answer T, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return answer, fmt.Errorf("%w: it is closed", ticketstore.ErrUnavailable)
	}
	if err := ctx.Err(); err != nil {
		return answer, err
	}
	return f()
}

// view has f answer a request, unless that is invalid, while nothing changes. What f changes is undone.
func view[T any](
	ctx context.Context, s *Store, now time.Time, invalid error, f func(t *tx) (T, error),
) (T, error) {
	return admit(ctx, s, now, invalid, rules.Serves, func(t *tx) (T, error) {
		defer t.rollback()
		return f(t)
	})
}

// change has f carry out a request, unless that is invalid. The fence is looked at under the lock that the
// change holds, so that each write comes before it or is refused.
func change[T any](
	ctx context.Context, s *Store, now time.Time, invalid error, f func(t *tx) (T, error),
) (T, error) {
	return admit(ctx, s, now, invalid, rules.Writes, f)
}

func admit[T any](
	ctx context.Context, s *Store, now time.Time, invalid error, admits func(transfer.State) error,
	f func(t *tx) (T, error),
) (answer T, err error) {
	if invalid != nil {
		return answer, invalid
	}
	return alone(ctx, s, func() (T, error) {
		if err := admits(s.status.State); err != nil {
			return answer, err
		}
		return transact(s, now, f)
	})
}

// transact keeps what f does as a whole, or undoes it when f fails. The lock must be held.
func transact[T any](s *Store, now time.Time, f func(t *tx) (T, error)) (T, error) {
	t := &tx{s, now, map[string]*row{}}
	answer, err := f(t)
	if err != nil {
		t.rollback()
	} else {
		t.commit()
	}
	return answer, err
}
