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

// closedGrants are the grants of an unavailable store.
func closedGrants(t *testing.T) grantstore.Store {
	t.Helper()
	store := memory.New()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return store.Grants()
}

// countingGrants counts reads.
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

// All servers of a store count guesses together, also concurrent ones, and a restart keeps the count.
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
	// A guess counts in three limits at once. If one of them refuses it, it may count in the others.
	if n := int(looked.Load()); n > accountAndAddress.burst || n < accountAndAddress.burst-2 {
		t.Errorf("three servers checked %d guesses, want at most %d or few less", n, accountAndAddress.burst)
	}
	restarted := first.shared()
	if restarted.mayTry(from(), "ann", "192.0.2.1") {
		t.Error("a restart resets the count")
	}
	if !restarted.mayTry(from(), "ben", "192.0.2.1") {
		t.Error("guesses at Ann's account lock out Ben")
	}
	// Times of one interval are equal.
	restarted.now = restarted.now.Add(2 * accountAndAddress.every)
	second.now = restarted.now
	if n := restarted.fail(from(), "ann", "192.0.2.1") + second.fail(from(), "ann", "192.0.2.1"); n != 2 {
		t.Errorf("after two intervals two servers check %d more, want two", n)
	}
}

// A successful attempt does not count, at all servers.
func TestSuccessAcrossServers(t *testing.T) {
	t.Parallel()
	first := newThrottled(t)
	second := first.shared()
	for range 3 * wholeAccount.burst {
		if !first.mayTry(from(), "ann", "192.0.2.1") || !second.mayTry(from(), "ann", "192.0.2.1") {
			t.Fatal("a user with the right password has to wait")
		}
	}
	if n := second.fail(from(), "ann", "192.0.2.1"); n != accountAndAddress.burst {
		t.Errorf("after successes %d guesses are checked, want %d", n, accountAndAddress.burst)
	}
}

// A server that starts during a long attack finds the current count with few reads.
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
			t.Fatal("an attempt below the limit has to wait")
		}
	}
	first.marks.grants = counting // both servers have the same marks
	if !used(second) || used(second) {
		t.Error("the other server does not accept exactly one more attempt")
	}
	if n := counting.calls.Load(); n > 20 {
		t.Errorf("%d reads of the store, want at most 20", n)
	}
}

// Marks do not collide with replay marks of assertions, whose ids clients choose.
func TestMarksAreKeyed(t *testing.T) {
	t.Parallel()
	m := newTestMarks(t)
	other := newMarks([]byte(strings.Repeat("t", 32)), m.grants)
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if m.of(until, "form", "a") == other.of(until, "form", "a") {
		t.Error("the name of a mark does not depend on the key")
	}
	if m.of(until, "form") == m.of(until, "form", "") || m.of(until, "ab") == m.of(until, "a", "b") {
		t.Error("two marks have the same name")
	}
}

// A sign-in is answered 503 if the count of guesses is unavailable.
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
