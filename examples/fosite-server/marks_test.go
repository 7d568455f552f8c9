package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/memory"
)

// newTestMarks returns marks in a store of their own.
func newTestMarks(t *testing.T) *marks {
	t.Helper()
	store := memory.New()
	t.Cleanup(func() { _ = store.Close() })
	m := newMarks([]byte(strings.Repeat("s", 32)), store.Grants())
	return m
}

// closedGrants are those of a store that cannot be reached.
func closedGrants(t *testing.T) grantstore.Store {
	t.Helper()
	store := memory.New()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return store.Grants()
}

// countingGrants count what they are asked.
type countingGrants struct {
	grantstore.Store
	calls atomic.Int64
}

func (c *countingGrants) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (*grantstore.GetResult, error) {
	c.calls.Add(1)
	return c.Store.Get(ctx, ref, now)
}

func (c *countingGrants) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	c.calls.Add(1)
	return c.Store.Apply(ctx, batch, now)
}

// shared returns a throttle of another server of the same store.
func (t *throttled) shared() *throttled {
	other := newSignInThrottle([]byte(strings.Repeat("s", 32)), "https://op.example", t.marks)
	return &throttled{other, t.t, t.now}
}

// Guesses are counted by all servers of a store together, those that are made at once too, and a server that
// was restarted knows of those before.
func TestThrottleAcrossServers(t *testing.T) {
	t.Parallel()
	first := newThrottled(t)
	second := first.shared()
	var looked atomic.Int64
	var wg sync.WaitGroup
	for _, server := range []*throttled{first, second, first.shared()} {
		for range accountAndAddress.burst {
			wg.Go(func() {
				_, wait, err := server.try(from(), "ann", "192.0.2.1", server.now)
				if err != nil {
					t.Error(err)
				}
				if wait == 0 {
					looked.Add(1)
				}
			})
		}
	}
	wg.Wait()
	// A guess takes its turn in three limits at once. One that loses in one of them may leave its turns in
	// the others unused.
	if n := int(looked.Load()); n > accountAndAddress.burst || n < accountAndAddress.burst-2 {
		t.Errorf("three servers looked at %d guesses, want about and at most %d", n, accountAndAddress.burst)
	}
	restarted := first.shared()
	if restarted.mayTry(from(), "ann", "192.0.2.1") {
		t.Error("a restart has the guesses forgotten")
	}
	if !restarted.mayTry(from(), "ben", "192.0.2.1") {
		t.Error("Ben is locked out by what was done to Ann's account")
	}
	// Moments of one interval count as one.
	restarted.now = restarted.now.Add(2 * accountAndAddress.every)
	second.now = restarted.now
	if n := restarted.fail(from(), "ann", "192.0.2.1") + second.fail(from(), "ann", "192.0.2.1"); n != 2 {
		t.Errorf("after two intervals two servers look at %d more, want two", n)
	}
}

// A success takes its try back, at all servers.
func TestSuccessAcrossServers(t *testing.T) {
	t.Parallel()
	first := newThrottled(t)
	second := first.shared()
	for range 3 * wholeAccount.burst {
		if !first.mayTry(from(), "ann", "192.0.2.1") || !second.mayTry(from(), "ann", "192.0.2.1") {
			t.Fatal("somebody who knows the password has to wait")
		}
	}
	if n := second.fail(from(), "ann", "192.0.2.1"); n != accountAndAddress.burst {
		t.Errorf("after successes %d guesses are looked at, want %d", n, accountAndAddress.burst)
	}
}

// A server that knows nothing of a long attack finds out in few questions how far it went.
func TestThrottleReadsFewMarks(t *testing.T) {
	t.Parallel()
	first := newThrottled(t)
	second := first.shared()
	counting := &countingGrants{Store: first.marks.grants}
	l := limit{strangers, "strangers", "ann", ""}
	used := func(server *throttled) bool {
		_, wait, err := server.marks.count(t.Context(), server.now, func(taken *taken) time.Duration {
			return taken.take(&server.limiter, l, server.now)
		})
		if err != nil {
			t.Fatal(err)
		}
		return wait == 0
	}
	for range strangers.burst - 1 {
		if !used(first) {
			t.Fatal("an attempt has to wait too early")
		}
	}
	first.marks.grants = counting // both servers' marks are one
	if !used(second) || used(second) {
		t.Error("the other server does not take the last attempt alone")
	}
	if n := counting.calls.Load(); n > 20 {
		t.Errorf("it asked the store %d times, want at most 20", n)
	}
}

// A mark cannot be met by the replay mark of a client's assertion, whose id the client chooses.
func TestMarksAreKeyed(t *testing.T) {
	t.Parallel()
	m := newTestMarks(t)
	other := newMarks([]byte(strings.Repeat("t", 32)), m.grants)
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if m.of(until, "form", "a") == other.of(until, "form", "a") {
		t.Error("the name of a mark can be told without the key")
	}
	if m.of(until, "form") == m.of(until, "form", "") || m.of(until, "ab") == m.of(until, "a", "b") {
		t.Error("two marks have one name")
	}
}

// A sign-in is answered 503 where it cannot be told whether passwords are guessed.
func TestThrottleWithoutItsStore(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := newBrowser(t)
	page := b.get(s.provider.issuer + "/login")
	there := s.provider.throttle.marks.grants
	s.provider.throttle.marks.grants = closedGrants(t)
	b.expect(b.submit(page, "/login", "username", "ann", "password", "ann-demo"),
		http.StatusServiceUnavailable, "One moment")
	s.provider.throttle.marks.grants = there
	b.expect(b.submit(page, "/login", "username", "ann", "password", "ann-demo"), http.StatusOK, "Hello, Ann")
}
