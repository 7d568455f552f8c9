package postgres

// Copies of access tokens at several hosts of one store (rule 15): the purpose of each safeguard, and
// detection of faults in it.

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/internal/grantcache"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// cachedHost is a host with a cache in front of its engine, in one process.
type cachedHost struct {
	*Engine
	cache  *grantcache.Cache
	grants *grantcache.Store
	meter  *grantcache.Meter
}

// leasing is the source of a cache, into which tests inject faults.
type leasing interface {
	grantstore.Kills
	grantstore.Leases
}

// newCachedHost opens a host with a cache. faulty, if not nil, is inserted between its engine and its cache.
func newCachedHost(t *testing.T, e *Engine, faulty func(leasing) leasing) *cachedHost {
	t.Helper()
	kills := leasing(leasedKills{e})
	if faulty != nil {
		kills = faulty(kills)
	}
	s := &cachedHost{Engine: e, meter: &grantcache.Meter{}}
	s.cache = grantcache.New(grantcache.Config{
		Kills: kills, Leases: kills, Bound: 1 << 20, Patience: 10 * time.Second, Meter: s.meter,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	s.grants = &grantcache.Store{Store: e.Grants(), Cache: func() *grantcache.Cache { return s.cache }}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		s.cache.Follow(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-followed
	})
	return s
}

// twoCachedHosts returns two hosts of one store.
func twoCachedHosts(t *testing.T) (here, there *cachedHost) {
	t.Helper()
	settings := emptyStore(t)
	return newCachedHost(t, openHost(t, settings), nil), newCachedHost(t, openHost(t, settings), nil)
}

// signIn signs in the user of a family.
func (s *cachedHost) signIn(t *testing.T, name string) *tokenFamily {
	t.Helper()
	l := &tokenFamily{name: name}
	if err := l.signIn(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return l
}

// answer waits for the position of an answer, like a client.
func (s *cachedHost) answer(ctx context.Context, err error) error {
	if late := s.cache.Await(ctx, s.killed.log.Position()); late != nil {
		return late
	}
	return err
}

// active reports whether a token is active, with a short timeout.
func (s *cachedHost) active(ctx context.Context, ref grantstore.Ref) bool {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	found, err := s.grants.Get(ctx, ref, base)
	return s.answer(ctx, err) == nil && found != nil
}

// caches reads a token until the answer is the copy.
func (s *cachedHost) caches(t *testing.T, ref grantstore.Ref) {
	t.Helper()
	testenv.Eventually(t, "the answer is a copy", func() bool {
		before := s.meter.Figures().Hits
		return s.active(t.Context(), ref) && s.meter.Figures().Hits > before
	})
}

// end ends the session of a family. Like a client it repeats the call until there is an answer.
func (s *cachedHost) end(t *testing.T, l *tokenFamily) {
	t.Helper()
	ending := &logout.Ending{
		OperationID: "end " + l.name, SessionID: "session " + l.name, Reason: logout.Terminated,
	}
	testenv.Eventually(t, "the end of "+l.name, func() bool {
		_, err := s.Logout().End(t.Context(), ending, base)
		return s.answer(t.Context(), err) == nil
	})
}

// silence stops the beats of a host, but not its reads, until release is called or the test ends.
func (s *cachedHost) silence(t *testing.T) (release func()) {
	t.Helper()
	s.host.beating.Lock()
	released := false
	release = func() {
		if !released {
			s.host.beating.Unlock()
		}
		released = true
	}
	t.Cleanup(release)
	return release
}

// Faults of a cache's source. The zero value is no fault.
type (
	// leaseOnRead grants a lease without a beat.
	leaseOnRead struct {
		leasing
		e *Engine
	}
	// leaseFromAnswer starts the lease at its late answer, and reports that it was granted.
	leaseFromAnswer struct {
		leasing
		given chan struct{}
	}
	// noKills does not stream kills.
	noKills struct{ leasing }
)

func (f leaseOnRead) Lease(ctx context.Context, _ uint64) (time.Duration, error) {
	var number int
	err := f.e.pool.QueryRow(ctx, f.e.sql("SELECT count(*) FROM {s}.hosts")).Scan(&number)
	return f.e.host.lease.length, err
}

func (f leaseFromAnswer) Lease(ctx context.Context, position uint64) (time.Duration, error) {
	asked := time.Now()
	length, err := f.leasing.Lease(ctx, position)
	select {
	case f.given <- struct{}{}:
	default:
	}
	time.Sleep(length * 9 / 10)
	return length + time.Since(asked), err
}

func (f noKills) Follow(ctx context.Context) iter.Seq2[*grantstore.Kill, error] {
	return func(yield func(*grantstore.Kill, error) bool) {
		for kill, err := range f.leasing.Follow(ctx) {
			if err == nil {
				kill = &grantstore.Kill{Position: kill.Position}
			}
			if !yield(kill, err) {
				return
			}
		}
	}
}

// A token is ended at one host while another one has a copy and may be silent. The copy must not be used
// after the end; without one of the safeguards it is.
func TestCopiesOfHosts(t *testing.T) {
	t.Parallel()
	given := make(chan struct{})
	for name, c := range map[string]struct {
		silent, unregistered bool
		faulty               func(e *Engine) func(leasing) leasing
		given                chan struct{} // received from before the silence
		noWait               bool
		found                bool
	}{
		"an active host": {},
		"a silent host":  {silent: true},
		"a lease without a beat": {silent: true, found: true, faulty: func(e *Engine) func(leasing) leasing {
			return func(l leasing) leasing { return leaseOnRead{l, e} }
		}},
		"a lease from the time of its answer": {
			silent: true, given: given, found: true, faulty: func(*Engine) func(leasing) leasing {
				return func(l leasing) leasing { return leaseFromAnswer{l, given} }
			},
		},
		"an unregistered host": {
			silent: true, unregistered: true, found: true, faulty: func(e *Engine) func(leasing) leasing {
				return func(l leasing) leasing { return leaseOnRead{l, e} }
			},
		},
		"no stream of kills": {found: true, faulty: func(*Engine) func(leasing) leasing {
			return func(l leasing) leasing { return noKills{l} }
		}},
		"an end that does not wait for hosts": {noWait: true, found: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := emptyStore(t)
			here := newCachedHost(t, openHost(t, settings), nil)
			e := openHost(t, settings)
			var faulty func(leasing) leasing
			if c.faulty != nil {
				faulty = c.faulty(e)
			}
			there := newCachedHost(t, e, faulty)
			found := 0
			for i := range 5 {
				l := here.signIn(t, fmt.Sprint(i))
				token := l.access(0).Ref
				there.caches(t, token)
				release := func() {}
				if c.given != nil {
					<-c.given
				}
				if c.silent {
					release = there.silence(t)
				}
				if c.unregistered {
					unregister(t, there)
				}
				if c.noWait {
					here.endWithoutWait(t, l)
				} else {
					here.end(t, l)
				}
				if there.active(t.Context(), token) {
					found++
				}
				release()
				if found > 0 {
					break
				}
			}
			if (found > 0) != c.found {
				t.Errorf("a token is active at another host after its end: %t, want %t", found > 0, c.found)
			}
		})
	}
}

func unregister(t *testing.T, s *cachedHost) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), s.sql("DELETE FROM {s}.hosts WHERE instance = $1"), s.host.instance)
	if err != nil {
		t.Fatal(err)
	}
}

// endWithoutWait ends the session of a family without waiting for other hosts.
func (s *cachedHost) endWithoutWait(t *testing.T, l *tokenFamily) {
	t.Helper()
	ending := &logout.Ending{
		OperationID: "end " + l.name, SessionID: "session " + l.name, Reason: logout.Terminated,
	}
	p := planOf("end").session(ending.SessionID)
	_, err := scan(t.Context(), s.Engine, base, p, func(t *tx) (progressed, error) {
		return t.beginOne(ending), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The first end waits for a silent host for the length of a lease, later ones do not wait for it. When the
// host resumes, it has no copies, and ends wait for it again.
func TestOneWaitForASilentHost(t *testing.T) {
	t.Parallel()
	here, there := twoCachedHosts(t)
	families := make([]*tokenFamily, 4)
	for i := range families {
		families[i] = here.signIn(t, fmt.Sprint(i))
		there.caches(t, families[i].access(0).Ref)
	}
	lapsed := func() (lapsed bool) {
		t.Helper()
		err := here.pool.QueryRow(t.Context(), here.sql("SELECT lapsed FROM {s}.hosts WHERE instance = $1"),
			there.host.instance).Scan(&lapsed)
		if err != nil {
			t.Fatal(err)
		}
		return lapsed
	}
	release := there.silence(t)
	here.end(t, families[0])
	if !lapsed() {
		t.Error("an end was acknowledged before the silent host was marked as lapsed")
	}
	before := there.host.lease.sent()
	here.end(t, families[1]) // waits only for its own beat
	release()
	testenv.Eventually(t, "the host is not marked as lapsed", func() bool { return !lapsed() })
	testenv.Eventually(t, "the host has a lease", func() bool {
		number, lasts := there.host.lease.holds()
		return lasts && number > before
	})
	if there.active(t.Context(), families[0].access(0).Ref) {
		t.Error("a token is active at a resumed host after its end")
	}
	there.caches(t, families[2].access(0).Ref)
	here.end(t, families[2])
	if lapsed() || there.active(t.Context(), families[2].access(0).Ref) {
		t.Errorf("a resumed host: lapsed %t, or its copy is used after the end", lapsed())
	}
	there.end(t, families[3])
	if here.active(t.Context(), families[3].access(0).Ref) {
		t.Error("a token that was ended at the resumed host is active at the other one")
	}
}

// Without a lease a host answers neither reads nor changes without an effect. A server that lacks a beat of
// this host is not the primary.
func TestNoAnswerWithoutALease(t *testing.T) {
	t.Parallel()
	s := newCachedHost(t, openEngine(t), nil)
	l := s.signIn(t, "l")
	unknown := ticketstore.Renewal{Key: ticketstore.KeyOf("x"), Version: 1, Expires: base.Add(time.Hour)}
	calls := map[string]func(ctx context.Context) error{
		"a read": func(ctx context.Context) error {
			_, err := s.Grants().Get(ctx, l.token(0).Ref, base)
			return err
		},
		"a list": func(ctx context.Context) error {
			_, err := s.Tickets().Query(ctx, ticketstore.SessionQuery{Count: 1})
			return err
		},
		"a change without an effect": func(ctx context.Context) error {
			if _, err := s.Tickets().Renew(ctx, unknown, base); !errors.Is(err, ticketstore.ErrNotFound) {
				return err
			}
			return nil
		},
	}
	refused := func(why string) {
		t.Helper()
		for name, call := range calls {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			if err := call(ctx); !errors.Is(err, ticketstore.ErrUnavailable) && ctx.Err() == nil {
				t.Errorf("%s, %s: %v, want ErrUnavailable", why, name, err)
			}
			cancel()
		}
	}
	answered := func() {
		t.Helper()
		for name, call := range calls {
			if err := call(t.Context()); err != nil {
				t.Errorf("%s with a lease: %v", name, err)
			}
		}
	}
	answered()
	release := s.silence(t)
	testenv.Eventually(t, "the lease has expired", func() bool {
		_, lasts := s.host.lease.holds()
		return !lasts
	})
	refused("without a lease")
	release()
	answered()
	// A different server has received beats that this one lacks.
	release = s.silence(t)
	s.host.lease.committed(1<<40, time.Now())
	refused("at a server without its beats")
	s.host.lease.committed(0, time.Time{})
	release()
	answered()
}

// A read that began before an end at another host and is answered after it is not copied.
func TestLateReadAtAnotherHost(t *testing.T) {
	t.Parallel()
	here, there := twoCachedHosts(t)
	l := here.signIn(t, "l")
	token := l.access(0).Ref
	other := here.signIn(t, "other")
	there.caches(t, other.access(0).Ref) // it follows kills and has a lease
	there.grants.Store = interrupted{there.Grants(), func() { here.end(t, l) }}
	if !there.active(context.WithoutCancel(t.Context()), token) {
		t.Log("the answer of a read during the end was too late")
	}
	there.grants.Store = there.Grants()
	if there.active(t.Context(), token) {
		t.Error("a read that began before the end was copied after it")
	}
	if there.meter.Figures().Refusals == 0 {
		t.Error("no read was refused: the case did not occur")
	}
}

// interrupted calls do between a read and its answer.
type interrupted struct {
	grantstore.Store
	do func()
}

func (b interrupted) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (*grantstore.GetResult, error) {
	found, err := b.Store.Get(context.WithoutCancel(ctx), ref, now)
	b.do()
	return found, err
}

// A fenced store grants no lease, and no copy is used after the fence.
func TestNoLeaseBehindTheFence(t *testing.T) {
	t.Parallel()
	s := newCachedHost(t, openEngine(t), nil)
	l := s.signIn(t, "l")
	s.caches(t, l.access(0).Ref)
	for _, to := range []transfer.State{transfer.Exporting, transfer.Fenced} {
		turn := transfer.Transition{To: to, ID: "move", Peer: "next"}
		if err := s.Transfer().Become(t.Context(), turn); err != nil {
			t.Fatal(err)
		}
	}
	before := s.meter.Figures().Hits
	_, err := s.Kills().(grantstore.Leases).Lease(t.Context(), s.Kills().Position())
	if !errors.Is(err, transfer.ErrFenced) {
		t.Errorf("the lease of a fenced store: %v", err)
	}
	if err := s.answer(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s.active(t.Context(), l.access(0).Ref)
	if s.meter.Figures().Hits > before {
		t.Error("a copy is used after the fence")
	}
}

// The marks of a host are bounded while its cache applies no kills, and the reported progress is never ahead
// of the cache.
func TestMarksAreBounded(t *testing.T) {
	t.Parallel()
	l := newLease(time.Minute)
	l.begin([]int64{0}, 0)
	l.ask(0)
	const beats = 10 * mostMarks
	for n := range int64(beats) {
		l.send()
		l.confirm(&beat{number: n + 1, slots: []int64{n + 1}, position: uint64(n + 1)})
		if len(l.marks) > mostMarks {
			t.Fatalf("after %d beats: %d marks, want at most %d", n+1, len(l.marks), mostMarks)
		}
	}
	for at := range uint64(beats + 1) {
		l.ask(at)
		if _, applied := l.send(); applied[0] > int64(at) || (at == beats && applied[0] != beats) {
			t.Fatalf("at position %d it reports kill %d", at, applied[0])
		}
	}
}

// A job is done when no copy at another host is used any more, also before a sweep has dated it.
func TestJobIsDoneWhenNoCopyIsUsed(t *testing.T) {
	t.Parallel()
	here, there := twoCachedHosts(t)
	l := here.signIn(t, "l")
	ending := &logout.Ending{OperationID: "all", All: true, Reason: logout.Terminated}
	there.caches(t, l.access(0).Ref)
	there.silence(t)
	if _, err := here.begin(ending, base); err != nil {
		t.Fatal(err)
	}
	if _, err := here.workOn("all"); err != nil {
		t.Fatal(err)
	}
	job, err := here.Logout().Job(t.Context(), "all")
	if err != nil || job.State != logout.JobDone {
		t.Fatalf("the job is %+v, %v, want it done", job, err)
	}
	if there.active(t.Context(), l.access(0).Ref) {
		t.Error("a job is done while a copy at another host is used")
	}
}
