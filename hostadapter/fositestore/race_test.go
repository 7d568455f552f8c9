package fositestore_test

// Concurrent uses of codes and refresh tokens.

import (
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// together runs the call n times concurrently and returns the responses.
func together(n int, call func(i int) *reply) []*reply {
	replies := make([]*reply, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { replies[i] = call(i) })
	}
	wg.Wait()
	return replies
}

func winners(t *testing.T, replies []*reply) []*reply {
	t.Helper()
	var won []*reply
	for _, r := range replies {
		if r.status == http.StatusOK {
			won = append(won, r)
		} else {
			r.must(t, http.StatusBadRequest, "invalid_grant")
		}
	}
	return won
}

func TestCodeRaceHasOneWinner(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for range 10 {
		b := h.browser().signIn("ann")
		code := b.code()
		won := winners(t, together(8, func(int) *reply { return h.exchange(code) }))
		if len(won) != 1 {
			t.Fatalf("want one winner, got %d", len(won))
		}
		// RFC 6749, section 4.1.2: the reuse of a code revokes its tokens.
		h.mustActive(won[0].str("access_token"), false)
	}
}

// RFC 9700, section 4.14.2: if a refresh token is presented twice, it is unknown which presenter stole it, so
// the winner's tokens are revoked too.
func TestRefreshRaceEndsBothLines(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for range 60 {
		_, r := h.tokens("ann")
		won := winners(t, together(2, func(int) *reply { return h.refresh(r.str("refresh_token")) }))
		if len(won) != 1 {
			t.Fatalf("want one winner, got %d", len(won))
		}
		h.mustActive(won[0].str("access_token"), false)
		h.mustActive(won[0].str("refresh_token"), false)
	}
}

// Within the grace a client may repeat a refresh, even concurrently: the tokens of each answer are valid.
func TestRefreshRaceWithinTheGrace(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(_ *host, c *fositestore.Config) { c.RefreshGrace = time.Minute })
	for range 5 {
		_, r := h.tokens("ann")
		replies := together(8, func(int) *reply { return h.refresh(r.str("refresh_token")) })
		for _, one := range replies {
			one.must(t, http.StatusOK, "")
			h.mustActive(one.str("access_token"), true)
		}
		for _, next := range together(8, func(i int) *reply {
			return h.refresh(replies[i].str("refresh_token"))
		}) {
			next.must(t, http.StatusOK, "")
		}
	}
}

// After the grace no refresh succeeds, and the family is revoked.
func TestRefreshRaceAfterTheGrace(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	h := newHost(t, func(_ *host, c *fositestore.Config) {
		c.RefreshGrace = time.Minute
		c.Host.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	_, first := h.tokens("ann")
	second := h.refresh(first.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	ahead.Store(int64(2 * time.Minute))
	if won := winners(t, together(8, func(int) *reply {
		return h.refresh(first.str("refresh_token"))
	})); len(won) != 0 {
		t.Errorf("want no winner, got %d", len(won))
	}
	h.mustActive(second.str("access_token"), false)
	h.refresh(second.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
}

// A request that read the token before a concurrent request used it revokes the family: it is a second use.
func TestConcurrentReuseRevokesTheFamily(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, r := h.tokens("ann")
	var winner *reply
	before := func() {
		h.backend.grants.before.Store(nil)
		winner = h.refresh(r.str("refresh_token"))
	}
	h.backend.grants.before.Store(&before)
	h.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
	winner.must(t, http.StatusOK, "")
	h.mustActive(winner.str("access_token"), false)
	h.refresh(winner.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
}

// Without the Provider the loser gets fosite's error, which is not a server error.
func TestRefreshRaceWithoutProvider(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(h *host, _ *fositestore.Config) { h.bare = true })
	_, r := h.tokens("ann")
	// The winner runs between the loser's read and write.
	var winner *reply
	before := func() {
		h.backend.grants.before.Store(nil)
		winner = h.refresh(r.str("refresh_token"))
	}
	h.backend.grants.before.Store(&before)
	h.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_request")
	winner.must(t, http.StatusOK, "")
	h.mustActive(winner.str("access_token"), false)
}

func TestRemovalRacingAnExchangeAndARefresh(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for range 30 {
		b, r := h.tokens("ann")
		code := b.code()
		replies := together(3, func(i int) *reply {
			switch i {
			case 0:
				return h.exchange(code)
			case 1:
				return h.refresh(r.str("refresh_token"))
			}
			h.end("ann")
			return nil
		})
		for _, r := range replies[:2] {
			if r.status != http.StatusOK {
				r.must(t, http.StatusBadRequest, "invalid_grant")
				continue
			}
			h.mustActive(r.str("access_token"), false)
			h.mustActive(r.str("refresh_token"), false)
		}
	}
}

// The client chooses the expiry of its assertion.
func TestJTIOfAnyExpiryIsUsedOnce(t *testing.T) {
	t.Parallel()
	store := newHost(t).sessions.Store()
	for name, exp := range map[string]time.Time{
		"the last that stores hold": time.Unix(0, math.MaxInt64), "the largest": time.Unix(math.MaxInt64, 0),
		"a large one": time.Unix(1<<62, 0),
	} {
		if err := store.SetClientAssertionJWT(t.Context(), name, exp); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := store.SetClientAssertionJWT(t.Context(), name, exp); !fosite.ErrJTIKnown.Is(err) {
			t.Errorf("%s, again: want ErrJTIKnown, got %v", name, err)
		}
	}
}

func TestJTIIsUsedOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	store := h.sessions.Store()
	exp := time.Now().Add(time.Minute)
	var mu sync.Mutex
	passed := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := store.ClientAssertionJWTValid(t.Context(), "jti"); err != nil {
				t.Errorf("want no error before the insert, got %v", err)
			}
			switch err := store.SetClientAssertionJWT(t.Context(), "jti", exp); {
			case err == nil:
				mu.Lock()
				passed++
				mu.Unlock()
			case !fosite.ErrJTIKnown.Is(err):
				t.Errorf("want ErrJTIKnown, got %v", err)
			}
		})
	}
	wg.Wait()
	if passed != 1 {
		t.Errorf("want the jti to pass once, got %d", passed)
	}
	if used, err := store.IsJWTUsed(t.Context(), "jti"); !used || err != nil {
		t.Errorf("want the jti known to be used, got %v, %v", used, err)
	}
	if err := store.MarkJWTUsedForTime(t.Context(), "jti", exp); !fosite.ErrJTIKnown.Is(err) {
		t.Errorf("want ErrJTIKnown from the other setter too, got %v", err)
	}
}
