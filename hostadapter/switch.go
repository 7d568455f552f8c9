package hostadapter

// The switch between backends: all calls go through it, and wait while writes are held.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// switchTimeout bounds how long a call waits for the switch from one backend to another. It is longer than
// the fence of a lost host lasts.
const switchTimeout = 15 * time.Second

// backendSwitch is the Backend that the host uses, and delegates to the serving backend, which it can
// replace. Calls in flight finish where they began. A call that the old backend refused because it is fenced
// waits and is retried on the backend that serves then. Retrying is safe because the fence is checked in the
// call's transaction: nothing was written.
type backendSwitch struct {
	mu      sync.Mutex
	current *switchedBackend
	// held is not nil while calls wait: nothing serves until it is closed.
	held    chan struct{}
	metrics *metrics // set before the first call
	// fenced receives a signal for each call that a fence has refused, so that a host that is not swapping
	// itself follows.
	fenced chan struct{}
	// problem is why this host does not follow to the new backend, or nil. If it is final, all calls fail
	// with it.
	problem error
	final   bool
}

// switchedBackend is the serving backend, or one that served before.
type switchedBackend struct {
	sessions.Backend
	name string
	// over is closed when the backend is replaced, or its fence is lifted.
	over chan struct{}
	// inside counts the calls in flight; left is closed when there are none after the backend was replaced.
	inside   int
	replaced bool
	left     chan struct{}
}

func newSwitched(name string, backend sessions.Backend) *switchedBackend {
	return &switchedBackend{
		Backend: backend, name: name, over: make(chan struct{}), left: make(chan struct{}),
	}
}

func newSwitch(name string, backend sessions.Backend) *backendSwitch {
	return &backendSwitch{current: newSwitched(name, backend), fenced: make(chan struct{}, 1)}
}

var _ sessions.Backend = (*backendSwitch)(nil)

// enter begins a call. It waits, bounded, while calls are held.
func (s *backendSwitch) enter(ctx context.Context) (p *switchedBackend, over <-chan struct{}, err error) {
	var timeout <-chan time.Time
	for {
		s.mu.Lock()
		current, held := s.current, s.held
		over = current.over
		if s.final {
			err = s.problem
		} else if held == nil {
			current.inside++
		}
		s.mu.Unlock()
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ticketstore.ErrUnavailable, err)
		}
		if held == nil {
			return current, over, nil
		}
		if timeout == nil {
			timer := time.NewTimer(switchTimeout)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-held:
		case <-timeout:
			return nil, nil, errHeld
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

var errHeld = fmt.Errorf("%w: its program is being replaced", ticketstore.ErrUnavailable)

// hold makes new calls wait, and waits, bounded, for those in flight. release must follow.
func (s *backendSwitch) hold(limit time.Duration) {
	s.mu.Lock()
	s.held = make(chan struct{})
	current := s.current
	current.replaced = true
	current.settle()
	s.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-current.left:
	case <-timer.C:
	}
}

// release replaces the held backend, and lets the waiting calls continue on the new one.
func (s *backendSwitch) release(name string, backend sessions.Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.current.over)
	s.current = newSwitched(name, backend)
	close(s.held)
	s.held = nil
}

func (s *backendSwitch) leave(p *switchedBackend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.inside--
	p.settle()
}

// settle closes left if it is due. The caller holds the lock.
func (p *switchedBackend) settle() {
	if p.replaced && p.inside == 0 {
		close(p.left)
	}
}

// name returns the host's name for the serving backend.
func (s *backendSwitch) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current.name
}

// replace replaces the serving backend, and returns the old one.
func (s *backendSwitch) replace(name string, backend sessions.Backend) *switchedBackend {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current
	s.current = newSwitched(name, backend)
	s.problem, s.final = nil, false
	old.replaced = true
	close(old.over)
	old.settle()
	return old
}

// lifted retries the waiting calls: the fence of the current backend was lifted.
func (s *backendSwitch) lifted() { s.cannotFollow(nil, false) }

// cannotFollow records why this host does not follow to the new backend. If the problem is final, calls fail
// with it; if it is nil, the waiting calls are retried.
func (s *backendSwitch) cannotFollow(problem error, final bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem, s.final = problem, final
	if final || problem == nil {
		close(s.current.over)
		s.current.over = make(chan struct{})
	}
}

// trouble returns why this host does not follow, or nil.
func (s *backendSwitch) trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}

// wake makes followSwaps check for a swap to follow.
func (s *backendSwitch) wake() {
	select {
	case s.fenced <- struct{}{}:
	default: // already signaled
	}
}

// callServing makes a call on the serving backend.
func callServing[R any](
	ctx context.Context, s *backendSwitch, call func(b sessions.Backend) (R, error),
) (R, error) {
	var timeout <-chan time.Time
	for {
		p, over, err := s.enter(ctx)
		if err != nil {
			var none R
			return none, err
		}
		result, err := call(p.Backend)
		s.leave(p)
		if !errors.Is(err, transfer.ErrFenced) {
			return result, err
		}
		s.wake()
		if timeout == nil {
			timer := time.NewTimer(switchTimeout)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-over:
		case <-timeout:
			return result, err
		case <-ctx.Done():
			return result, err
		}
	}
}

// on makes a call on a store of the serving backend; onAt also passes the current time.
func on[S, A, R any](
	ctx context.Context, s *backendSwitch, of func(sessions.Backend) S,
	method func(S, context.Context, A) (R, error), a A,
) (R, error) {
	return callServing(ctx, s, func(b sessions.Backend) (R, error) { return method(of(b), ctx, a) })
}

func onAt[S, A, R any](
	ctx context.Context, s *backendSwitch, of func(sessions.Backend) S,
	method func(S, context.Context, A, time.Time) (R, error), a A, now time.Time,
) (R, error) {
	return callServing(ctx, s, func(b sessions.Backend) (R, error) { return method(of(b), ctx, a, now) })
}

func (s *backendSwitch) Describe(ctx context.Context) (ticketstore.Description, error) {
	return callServing(ctx, s, func(b sessions.Backend) (ticketstore.Description, error) {
		return b.Describe(ctx)
	})
}

// Close closes the backend that serves.
func (s *backendSwitch) Close() error {
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	return current.Close()
}

func (s *backendSwitch) Tickets() ticketstore.Store { return switchedTickets{s} }
func (s *backendSwitch) Grants() grantstore.Store   { return switchedGrants{s} }
func (s *backendSwitch) Logout() logout.Store       { return switchedLogout{s} }

func (s *backendSwitch) Properties() ticketstore.Properties { return switchedProperties{s} }

type switchedTickets struct{ s *backendSwitch }

var _ ticketstore.Store = switchedTickets{}

func (t switchedTickets) Create(ctx context.Context, session *ticketstore.Session) error {
	_, err := callServing(ctx, t.s,
		func(b sessions.Backend) (struct{}, error) { return struct{}{}, b.Tickets().Create(ctx, session) })
	return err
}

func (t switchedTickets) CreateWithin(
	ctx context.Context, session *ticketstore.Session, limit ticketstore.Limit, now time.Time,
) ([]string, error) {
	return callServing(ctx, t.s, func(b sessions.Backend) ([]string, error) {
		return b.Tickets().CreateWithin(ctx, session, limit, now)
	})
}

func (t switchedTickets) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	return on(ctx, t.s, sessions.Backend.Tickets, ticketstore.Store.Get, key)
}

func (t switchedTickets) Find(ctx context.Context, sessionID string) (*ticketstore.SessionDetail, error) {
	return on(ctx, t.s, sessions.Backend.Tickets, ticketstore.Store.Find, sessionID)
}

func (t switchedTickets) Renew(
	ctx context.Context, r ticketstore.Renewal, now time.Time,
) (*ticketstore.Session, error) {
	return onAt(ctx, t.s, sessions.Backend.Tickets, ticketstore.Store.Renew, r, now)
}

func (t switchedTickets) Rekey(
	ctx context.Context, r ticketstore.Rekey, now time.Time,
) (*ticketstore.Session, error) {
	return onAt(ctx, t.s, sessions.Backend.Tickets, ticketstore.Store.Rekey, r, now)
}

func (t switchedTickets) Query(
	ctx context.Context, query ticketstore.SessionQuery,
) (*ticketstore.Page, error) {
	return on(ctx, t.s, sessions.Backend.Tickets, ticketstore.Store.Query, query)
}

type switchedGrants struct{ s *backendSwitch }

var _ grantstore.Store = switchedGrants{}

func (g switchedGrants) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (*grantstore.GetResult, error) {
	return onAt(ctx, g.s, sessions.Backend.Grants, grantstore.Store.Get, ref, now)
}

func (g switchedGrants) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	result, err := onAt(ctx, g.s, sessions.Backend.Grants, grantstore.Store.Apply, batch, now)
	g.s.metrics.applied(batch, result, err)
	return result, err
}

func (g switchedGrants) Query(
	ctx context.Context, query grantstore.Query, now time.Time,
) (*grantstore.Page, error) {
	return onAt(ctx, g.s, sessions.Backend.Grants, grantstore.Store.Query, query, now)
}

func (g switchedGrants) Remove(
	ctx context.Context, removal grantstore.Removal, now time.Time,
) (*grantstore.RemovalResult, error) {
	return onAt(ctx, g.s, sessions.Backend.Grants, grantstore.Store.Remove, removal, now)
}

func (g switchedGrants) Purge(ctx context.Context, limit int, now time.Time) (int, error) {
	return onAt(ctx, g.s, sessions.Backend.Grants, grantstore.Store.Purge, limit, now)
}

type switchedLogout struct{ s *backendSwitch }

var _ logout.Store = switchedLogout{}

func (l switchedLogout) End(
	ctx context.Context, ending *logout.Ending, now time.Time,
) (*logout.Result, error) {
	result, err := onAt(ctx, l.s, sessions.Backend.Logout, logout.Store.End, ending, now)
	if err == nil && !ending.DryRun {
		l.s.metrics.queue(result.NotificationsQueued)
	}
	return result, err
}

func (l switchedLogout) EndDue(
	ctx context.Context, sweep logout.Sweep, now time.Time,
) (*logout.SweepResult, error) {
	result, err := onAt(ctx, l.s, sessions.Backend.Logout, logout.Store.EndDue, sweep, now)
	if err == nil {
		l.s.metrics.queue(result.NotificationsQueued)
	}
	return result, err
}

func (l switchedLogout) Claim(
	ctx context.Context, claim logout.Claim, now time.Time,
) (*logout.ClaimResult, error) {
	return onAt(ctx, l.s, sessions.Backend.Logout, logout.Store.Claim, claim, now)
}

func (l switchedLogout) Settle(
	ctx context.Context, id string, claim uint64, outcome logout.Outcome, now time.Time,
) error {
	_, err := callServing(ctx, l.s, func(b sessions.Backend) (struct{}, error) {
		return struct{}{}, b.Logout().Settle(ctx, id, claim, outcome, now)
	})
	return err
}

func (l switchedLogout) Notifications(
	ctx context.Context, query logout.NotificationQuery,
) (*logout.NotificationPage, error) {
	return on(ctx, l.s, sessions.Backend.Logout, logout.Store.Notifications, query)
}

func (l switchedLogout) Retry(
	ctx context.Context, retry logout.Retry, now time.Time,
) (*logout.RetryResult, error) {
	return onAt(ctx, l.s, sessions.Backend.Logout, logout.Store.Retry, retry, now)
}

func (l switchedLogout) Job(ctx context.Context, id string) (*logout.Job, error) {
	return on(ctx, l.s, sessions.Backend.Logout, logout.Store.Job, id)
}

type switchedProperties struct{ s *backendSwitch }

var _ ticketstore.Properties = switchedProperties{}

func (p switchedProperties) Property(ctx context.Context, name string) ([]byte, error) {
	return on(ctx, p.s, sessions.Backend.Properties, ticketstore.Properties.Property, name)
}

func (p switchedProperties) SetProperty(ctx context.Context, name string, old, value []byte) error {
	_, err := callServing(ctx, p.s, func(b sessions.Backend) (struct{}, error) {
		return struct{}{}, b.Properties().SetProperty(ctx, name, old, value)
	})
	return err
}

// serving returns the serving backend itself. Calls that must survive a swap go through the switch instead.
func (s *backendSwitch) serving() sessions.Backend {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current.Backend
}
