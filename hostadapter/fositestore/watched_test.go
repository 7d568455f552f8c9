package fositestore_test

// A store that records and disturbs calls.

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// watched counts the store calls of requests, and can lose calls or answers. The adapter's periodic calls,
// once a second, are not counted.
type watched struct {
	sessions.Backend
	tickets       *watchedTickets
	grants        *watchedGrants
	logout        *watchedLogout
	down          atomic.Bool
	reads, writes atomic.Int64
	one           atomic.Pointer[oneFault]
}

// oneFault makes one call fail.
type oneFault struct {
	left atomic.Int64 // calls until then, including it
	err  error
	// lost: a batch takes effect, and only its answer is lost.
	lost bool
}

// failAt makes call k from now fail.
func (w *watched) failAt(k int64, err error, lost bool) {
	fault := &oneFault{err: err, lost: lost}
	fault.left.Store(k)
	w.one.Store(fault)
}

func watch(backend sessions.Backend) *watched {
	w := &watched{Backend: backend}
	w.tickets = &watchedTickets{Store: backend.Tickets(), w: w}
	w.grants = &watchedGrants{Store: backend.Grants(), w: w}
	w.logout = &watchedLogout{Store: backend.Logout(), w: w}
	return w
}

func (w *watched) Tickets() ticketstore.Store { return w.tickets }
func (w *watched) Grants() grantstore.Store   { return w.grants }
func (w *watched) Logout() logout.Store       { return w.logout }

// asked counts a call and returns an error while the backend is down.
func (w *watched) asked(count *atomic.Int64) error {
	count.Add(1)
	if w.down.Load() {
		return fmt.Errorf("switched off: %w", ticketstore.ErrUnavailable)
	}
	if fault := w.one.Load(); fault != nil && fault.left.Add(-1) == 0 {
		if !fault.lost || count != &w.writes {
			return fault.err
		}
		w.grants.loseAnswers.Store(1)
	}
	return nil
}

// counts returns reads and durable writes since the last call.
func (w *watched) counts() (reads, writes int64) {
	return w.reads.Swap(0), w.writes.Swap(0)
}

type watchedTickets struct {
	ticketstore.Store
	w *watched
	// failing is the error of reads by key.
	failing atomic.Pointer[error]
}

func (s *watchedTickets) Create(ctx context.Context, session *ticketstore.Session) error {
	if err := s.w.asked(&s.w.writes); err != nil {
		return err
	}
	return s.Store.Create(ctx, session)
}

func (s *watchedTickets) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	if err := s.w.asked(&s.w.reads); err != nil {
		return nil, err
	}
	if err := s.failing.Load(); err != nil {
		return nil, *err
	}
	return s.Store.Get(ctx, key)
}

func (s *watchedTickets) Find(ctx context.Context, sessionID string) (*ticketstore.SessionDetail, error) {
	if err := s.w.asked(&s.w.reads); err != nil {
		return nil, err
	}
	return s.Store.Find(ctx, sessionID)
}

func (s *watchedTickets) Renew(
	ctx context.Context, renewal ticketstore.Renewal, now time.Time,
) (*ticketstore.Session, error) {
	if err := s.w.asked(&s.w.writes); err != nil {
		return nil, err
	}
	return s.Store.Renew(ctx, renewal, now)
}

func (s *watchedTickets) Rekey(
	ctx context.Context, rekey ticketstore.Rekey, now time.Time,
) (*ticketstore.Session, error) {
	if err := s.w.asked(&s.w.writes); err != nil {
		return nil, err
	}
	return s.Store.Rekey(ctx, rekey, now)
}

func (s *watchedTickets) Query(
	ctx context.Context, query ticketstore.SessionQuery,
) (*ticketstore.Page, error) {
	if err := s.w.asked(&s.w.reads); err != nil {
		return nil, err
	}
	return s.Store.Query(ctx, query)
}

type watchedLogout struct {
	logout.Store
	w *watched
}

func (s *watchedLogout) End(
	ctx context.Context, ending *logout.Ending, now time.Time,
) (*logout.Result, error) {
	count := &s.w.writes
	if ending.DryRun {
		count = &s.w.reads
	}
	if err := s.w.asked(count); err != nil {
		return nil, err
	}
	return s.Store.End(ctx, ending, now)
}

type watchedGrants struct {
	grantstore.Store
	w *watched
	// lostType is the grantstore.Type whose reads fail.
	lostType atomic.Value
	// loseAnswers loses the answers to the next writes, which take effect.
	loseAnswers atomic.Int64
	// before runs before each write.
	before atomic.Pointer[func()]
}

func (s *watchedGrants) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (*grantstore.GetResult, error) {
	if err := s.w.asked(&s.w.reads); err != nil {
		return nil, err
	}
	if s.lostType.Load() == ref.Type {
		return nil, fmt.Errorf("lost: %w", ticketstore.ErrUnavailable)
	}
	return s.Store.Get(ctx, ref, now)
}

func (s *watchedGrants) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	if before := s.before.Load(); before != nil {
		(*before)()
	}
	if err := s.w.asked(&s.w.writes); err != nil {
		return nil, err
	}
	result, err := s.Store.Apply(ctx, batch, now)
	if s.loseAnswers.Add(-1) >= 0 {
		return nil, fmt.Errorf("answer lost: %w", ticketstore.ErrUnavailable)
	}
	return result, err
}

func (s *watchedGrants) Query(
	ctx context.Context, query grantstore.Query, now time.Time,
) (*grantstore.Page, error) {
	if err := s.w.asked(&s.w.reads); err != nil {
		return nil, err
	}
	return s.Store.Query(ctx, query, now)
}
