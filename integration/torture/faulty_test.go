package torture

// Seeded faults, which the checker must find.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// faulty is a backend that occasionally violates a rule.
type faulty struct {
	sessions.Backend
	tickets ticketstore.Store
	grants  grantstore.Store
	logout  logout.Store
}

func (f *faulty) Tickets() ticketstore.Store { return f.tickets }
func (f *faulty) Grants() grantstore.Store   { return f.grants }
func (f *faulty) Logout() logout.Store       { return f.logout }

func oneIn(n int) bool { return rand.IntN(n) == 0 }

type faultyTickets struct {
	ticketstore.Store
	create func(context.Context, *ticketstore.Session) error
	get    func(context.Context, ticketstore.Key) (*ticketstore.Session, error)
}

func (f *faultyTickets) Create(ctx context.Context, s *ticketstore.Session) error {
	if f.create != nil {
		return f.create(ctx, s)
	}
	return f.Store.Create(ctx, s)
}

func (f *faultyTickets) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	if f.get != nil {
		return f.get(ctx, key)
	}
	return f.Store.Get(ctx, key)
}

type faultyGrants struct {
	grantstore.Store
	get   func(context.Context, grantstore.Ref, time.Time) (*grantstore.GetResult, error)
	apply func(context.Context, *grantstore.Batch, time.Time) (*grantstore.Result, error)
}

func (f *faultyGrants) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (*grantstore.GetResult, error) {
	if f.get != nil {
		return f.get(ctx, ref, now)
	}
	return f.Store.Get(ctx, ref, now)
}

func (f *faultyGrants) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	if f.apply != nil {
		return f.apply(ctx, batch, now)
	}
	return f.Store.Apply(ctx, batch, now)
}

type faultyLogout struct {
	logout.Store
	end func(context.Context, *logout.Ending, time.Time) (*logout.Result, error)
	due func(context.Context, logout.Sweep, time.Time) (*logout.SweepResult, error)
}

func (f *faultyLogout) End(
	ctx context.Context, ending *logout.Ending, now time.Time,
) (*logout.Result, error) {
	if f.end != nil {
		return f.end(ctx, ending, now)
	}
	return f.Store.End(ctx, ending, now)
}

func (f *faultyLogout) EndDue(
	ctx context.Context, sweep logout.Sweep, now time.Time,
) (*logout.SweepResult, error) {
	if f.due != nil {
		return f.due(ctx, sweep, now)
	}
	return f.Store.EndDue(ctx, sweep, now)
}

// fault is seeded into a correct backend. The checker must find a violation of one of the named rules.
type fault struct {
	name  string
	rules []rule // empty: nothing must be found
	seed  func(t *faultyTickets, g *faultyGrants, l *faultyLogout)
}

var faults = []fault{
	{"none", nil, func(*faultyTickets, *faultyGrants, *faultyLogout) {}},
	{"drops a sign-in", []rule{ruleLost}, func(t *faultyTickets, _ *faultyGrants, _ *faultyLogout) {
		t.create = func(ctx context.Context, s *ticketstore.Session) error {
			if oneIn(5) {
				return nil
			}
			return t.Store.Create(ctx, s)
		}
	}},
	{"drops a batch of tokens", []rule{ruleLost}, func(_ *faultyTickets, g *faultyGrants, _ *faultyLogout) {
		g.apply = func(ctx context.Context, b *grantstore.Batch, now time.Time) (*grantstore.Result, error) {
			if oneIn(10) {
				return &grantstore.Result{}, nil
			}
			return g.Store.Apply(ctx, b, now)
		}
	}},
	{"resurrects tokens", []rule{ruleUndead, ruleRotated, ruleTwice}, func(_ *faultyTickets, g *faultyGrants,
		_ *faultyLogout) {
		var known sync.Map
		g.get = func(ctx context.Context, ref grantstore.Ref, now time.Time) (*grantstore.GetResult, error) {
			found, err := g.Store.Get(ctx, ref, now)
			if err == nil {
				known.Store(ref, found)
			} else if old, was := known.Load(ref); was && ref.Type == grantstore.ReferenceToken && oneIn(2) {
				return old.(*grantstore.GetResult), nil
			}
			return found, err
		}
	}},
	{"forgets a notification", []rule{ruleNotification}, func(_ *faultyTickets, _ *faultyGrants,
		l *faultyLogout) {
		l.end = func(ctx context.Context, e *logout.Ending, now time.Time) (*logout.Result, error) {
			quiet := *e
			// of about ten that notify a client: with fewer, a run may forget none
			quiet.SkipNotification = oneIn(2)
			return l.Store.End(ctx, &quiet, now)
		}
	}},
	{"forgets the notifications of expired sessions", []rule{ruleNotification}, func(_ *faultyTickets,
		_ *faultyGrants, l *faultyLogout) {
		l.due = func(ctx context.Context, s logout.Sweep, now time.Time) (*logout.SweepResult, error) {
			s.SkipNotification = true
			return l.Store.EndDue(ctx, s, now)
		}
	}},
	{"answers late", []rule{ruleStall}, func(_ *faultyTickets, g *faultyGrants, _ *faultyLogout) {
		var once sync.Once
		g.apply = func(ctx context.Context, b *grantstore.Batch, now time.Time) (*grantstore.Result, error) {
			once.Do(func() { time.Sleep(lateAnswer) })
			return g.Store.Apply(ctx, b, now)
		}
	}},
	{"acknowledges ends before it ends sessions", []rule{ruleUndead}, func(_ *faultyTickets, _ *faultyGrants,
		l *faultyLogout) {
		l.end = func(ctx context.Context, e *logout.Ending, now time.Time) (*logout.Result, error) {
			if oneIn(2) {
				return l.Store.End(ctx, e, now)
			}
			time.AfterFunc(500*time.Millisecond, func() {
				_, _ = l.Store.End(context.WithoutCancel(ctx), e, now)
			})
			return &logout.Result{}, nil
		}
	}},
	{"continues after a failed commit, which its next start undoes", []rule{ruleUndead}, func(
		t *faultyTickets, g *faultyGrants, l *faultyLogout,
	) {
		var ended sync.Map // until its next start
		gone := func(sid string) bool {
			until, found := ended.Load(sid)
			return found && time.Now().Before(until.(time.Time))
		}
		l.end = func(ctx context.Context, e *logout.Ending, now time.Time) (*logout.Result, error) {
			if e.SessionID == "" || e.DryRun || oneIn(2) {
				return l.Store.End(ctx, e, now)
			}
			ended.Store(e.SessionID, time.Now().Add(500*time.Millisecond))
			return &logout.Result{SessionsRemoved: 1}, nil
		}
		t.get = func(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
			s, err := t.Store.Get(ctx, key)
			if err == nil && gone(s.SessionID) {
				return nil, ticketstore.ErrNotFound
			}
			return s, err
		}
		g.get = func(ctx context.Context, ref grantstore.Ref, now time.Time) (*grantstore.GetResult, error) {
			found, err := g.Store.Get(ctx, ref, now)
			if err == nil && gone(found.Grant.SessionID) {
				return nil, grantstore.ErrSessionEnded
			}
			return found, err
		}
	}},
	{"accepts refresh tokens twice", []rule{ruleTwice, ruleUndead}, func(_ *faultyTickets, g *faultyGrants,
		_ *faultyLogout) {
		g.get = func(ctx context.Context, ref grantstore.Ref, now time.Time) (*grantstore.GetResult, error) {
			found, err := g.Store.Get(ctx, ref, now)
			if errors.Is(err, grantstore.ErrConsumed) && ref.Type == grantstore.RefreshToken {
				fresh := *found
				fresh.Grant.Consumed = time.Time{}
				return &fresh, nil
			}
			return found, err
		}
		g.apply = func(ctx context.Context, b *grantstore.Batch, now time.Time) (*grantstore.Result, error) {
			result, err := g.Store.Apply(ctx, b, now)
			if errors.Is(err, grantstore.ErrConsumed) && b.Consume.Type == grantstore.RefreshToken {
				again := *b
				again.Consume, again.OperationID = nil, b.OperationID+"-again"
				return g.Store.Apply(ctx, &again, now)
			}
			return result, err
		}
	}},
	{"ends the session and not its tokens", []rule{ruleUndead, ruleHalf}, func(_ *faultyTickets,
		_ *faultyGrants, l *faultyLogout) {
		l.end = func(ctx context.Context, e *logout.Ending, now time.Time) (*logout.Result, error) {
			half := *e
			half.KeepTokens = half.KeepTokens || oneIn(2)
			return l.Store.End(ctx, &half, now)
		}
	}},
	{"ends the tokens and not their session", []rule{ruleUndead, ruleHalf}, func(_ *faultyTickets,
		_ *faultyGrants, l *faultyLogout) {
		l.end = func(ctx context.Context, e *logout.Ending, now time.Time) (*logout.Result, error) {
			half := *e
			half.KeepSession = oneIn(2)
			return l.Store.End(ctx, &half, now)
		}
	}},
	{"ends half a session silently", []rule{ruleHalf}, func(_ *faultyTickets, _ *faultyGrants,
		l *faultyLogout) {
		l.end = func(ctx context.Context, e *logout.Ending, now time.Time) (*logout.Result, error) {
			half := *e
			half.KeepSession, half.AskRegistered = true, false // otherwise it would end nothing
			_, err := l.Store.End(ctx, &half, now)
			return nil, errors.Join(ticketstore.ErrUnavailable, err)
		}
	}},
	{"forgets sessions for a moment", []rule{ruleLost}, func(t *faultyTickets, _ *faultyGrants,
		_ *faultyLogout) {
		t.get = func(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
			if oneIn(20) {
				return nil, ticketstore.ErrNotFound
			}
			return t.Store.Get(ctx, key)
		}
	}},
	{"does not end sessions that are due", []rule{ruleLingers}, func(_ *faultyTickets, _ *faultyGrants,
		l *faultyLogout) {
		l.due = func(context.Context, logout.Sweep, time.Time) (*logout.SweepResult, error) {
			return &logout.SweepResult{}, nil
		}
	}},
}

// terms of the run: sessions expire soon if an audit waits for it, otherwise never, even on a slow machine.
func (f *fault) terms() terms {
	terms := terms{
		idle: time.Hour, renewEvery: 500 * time.Millisecond, slack: 500 * time.Millisecond, stall: patience,
		late: 2 * time.Second,
	}
	if f.audited() {
		terms.idle = 6 * time.Second
	}
	if slices.Contains(f.rules, ruleStall) {
		terms.stall = lateAnswer - time.Second
	}
	return terms
}

// audited: the fault is visible only in an audit.
func (f *fault) audited() bool {
	return len(f.rules) == 0 || f.rules[0] == ruleNotification || f.rules[0] == ruleLingers
}

// lateAnswer is the delay of a store that answers late.
const lateAnswer = 3 * time.Second

// A run consists of at most that many stretches of that many steps of each user, until the fault is found.
const (
	stretch   = 8
	stretches = 60
	// beforeAudit is the number of stretches before an audit, for faults that only an audit finds.
	beforeAudit = 3
)

// The checker finds each seeded fault, and no violation without a fault. The runs mostly wait, so they are
// parallel.
func TestSeededFaultsAreFound(t *testing.T) {
	t.Parallel()
	var group sync.WaitGroup
	for i := range faults {
		f, folder := &faults[i], t.TempDir()
		group.Go(func() {
			if err := f.run(t, folder, inProcess); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		})
	}
	group.Wait()
}

// inProcess returns a host with the backend in its own process.
func inProcess(_ *badger.Engine, backend *faulty) sessions.Backend { return backend }

// run runs the fault in a host that opens the backend with the given function.
func (f *fault) run(
	t *testing.T, folder string, open func(*badger.Engine, *faulty) sessions.Backend,
) error {
	sync := false // no process is killed
	engine, err := badger.Open(t.Context(), badger.Settings{Path: folder, CacheMiB: 1, Sync: &sync}, nil)
	if err != nil {
		return err
	}
	defer engine.Close()
	tickets := &faultyTickets{Store: engine.Tickets()}
	grants := &faultyGrants{Store: engine.Grants()}
	ends := &faultyLogout{Store: engine.Logout()}
	f.seed(tickets, grants, ends)
	w := newWorld(f.terms())
	backend := open(engine, &faulty{engine, tickets, grants, ends})
	backends := openers{storeName(0): func(context.Context) (sessions.Backend, error) { return backend, nil }}
	h, err := newHost(t.Context(), w.config(folder), backends, w.logger())
	if err != nil {
		return err
	}
	server := httptest.NewServer(h.handler)
	w.populate("user", 7, server.URL)
	defer func() {
		w.close()
		server.Close()
		_ = h.sessions.Close()
	}()
	found := func() bool {
		return slices.ContainsFunc(check(w.history.all(), w.terms), func(v violation) bool {
			return slices.Contains(f.rules, v.rule)
		})
	}
	for n := range stretches {
		if f.audited() && n == beforeAudit {
			break
		}
		w.each(func(u *user) {
			for range stretch {
				u.moment()
			}
		})
		if !f.audited() && found() {
			return nil
		}
	}
	if len(f.rules) > 0 {
		w.patience = time.Second // its conditions may never hold
	}
	if f.audited() {
		w.audit(t)
	}
	violations := check(w.history.all(), w.terms)
	if len(f.rules) == 0 && len(violations) == 0 || len(f.rules) > 0 && found() {
		return nil
	}
	return fmt.Errorf("want violations of %q, found %d: %.2000v\n%s", f.rules, len(violations), violations,
		w.summary())
}
