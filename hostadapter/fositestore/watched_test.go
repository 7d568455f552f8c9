package fositestore_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// watched counts what reaches the stores, and can lose them or their answers.
type watched struct {
	hostadapter.Backend
	tickets *watchedTickets
	grants  *watchedGrants
	down    atomic.Bool
}

func watch(backend hostadapter.Backend) *watched {
	w := &watched{Backend: backend}
	w.tickets = &watchedTickets{Store: backend.Tickets(), w: w}
	w.grants = &watchedGrants{Store: backend.Grants(), w: w}
	return w
}

func (w *watched) Tickets() ticketstore.Store { return w.tickets }
func (w *watched) Grants() grantstore.Store   { return w.grants }

func (w *watched) lost() error {
	if w.down.Load() {
		return fmt.Errorf("switched off: %w", ticketstore.ErrUnavailable)
	}
	return nil
}

// counts returns reads and durable writes of grants since the last call.
func (w *watched) counts() (reads, writes int64) {
	return w.grants.reads.Swap(0), w.grants.writes.Swap(0)
}

type watchedTickets struct {
	ticketstore.Store
	w *watched
}

func (s *watchedTickets) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	if err := s.w.lost(); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, key)
}

func (s *watchedTickets) Create(ctx context.Context, session *ticketstore.Session) error {
	if err := s.w.lost(); err != nil {
		return err
	}
	return s.Store.Create(ctx, session)
}

type watchedGrants struct {
	grantstore.Store
	w             *watched
	reads, writes atomic.Int64
	// lostType is the grantstore.Type whose reads fail.
	lostType atomic.Value
	// loseAnswers loses the answers to the next writes, which are done.
	loseAnswers atomic.Int64
	// before runs before each write.
	before atomic.Pointer[func()]
}

func (s *watchedGrants) Get(ctx context.Context, ref grantstore.Ref, now time.Time) (*grantstore.Found, error) {
	s.reads.Add(1)
	if err := s.w.lost(); err != nil {
		return nil, err
	}
	if s.lostType.Load() == ref.Type {
		return nil, fmt.Errorf("lost: %w", ticketstore.ErrUnavailable)
	}
	return s.Store.Get(ctx, ref, now)
}

func (s *watchedGrants) Apply(ctx context.Context, batch *grantstore.Batch, now time.Time) (*grantstore.Result, error) {
	s.writes.Add(1)
	if before := s.before.Load(); before != nil {
		(*before)()
	}
	if err := s.w.lost(); err != nil {
		return nil, err
	}
	result, err := s.Store.Apply(ctx, batch, now)
	if s.loseAnswers.Add(-1) >= 0 {
		return nil, fmt.Errorf("answer lost: %w", ticketstore.ErrUnavailable)
	}
	return result, err
}
