package memory

// The store and its transactions.

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

	// status is the state of the store and of moves. Its Content changes with the rows.
	status transfer.Status
	// journal names the rows changed since an export began, except the acknowledged ones.
	journal []string

	// queued numbers notifications; served is the client that was served last by a claim.
	queued uint32
	served string
	// kills are added under the lock, with their change (rule 15).
	kills kills.Log
}

// The stores of the backend, all over the same rows.
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

// Transfer makes the store movable.
func (s *Store) Transfer() transfer.Store { return mover{s} }

// Kills allows the host to cache access tokens.
func (s *Store) Kills() grantstore.Kills { return &s.kills }

// Describe implements sessions.Backend. The services include transfer and kills because the methods of these
// names exist.
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

// tx is a transaction at a moment, for reading or writing. It reads its own writes.
type tx struct {
	*Store
	now time.Time
	// before holds the previous rows of those changed, nil for rows that did not exist.
	before map[string]*row
}

// exclusively runs f under the lock, whatever the state of the store.
func exclusively[T any](ctx context.Context, s *Store, f func() (T, error)) (answer T, err error) {
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

// view runs a read-only request, unless it is invalid, under the lock. Changes made by f are rolled back.
func view[T any](
	ctx context.Context, s *Store, now time.Time, invalid error, f func(t *tx) (T, error),
) (T, error) {
	return admit(ctx, s, now, invalid, rules.Serves, func(t *tx) (T, error) {
		defer t.rollback()
		return f(t)
	})
}

// change runs a request that writes, unless it is invalid. It checks the fence under the lock of the change,
// so that each write is ordered before the fence or refused.
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
	return exclusively(ctx, s, func() (T, error) {
		if err := admits(s.status.State); err != nil {
			return answer, err
		}
		return transact(s, now, f)
	})
}

// transact commits the changes of f, or rolls them back if f fails. The caller holds the lock.
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
