package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// crowd is a number of users of a host whose backend is swapped, and the notifications received.
type crowd struct {
	t       *testing.T
	backend sessions.Backend
	// pace admits one request per tick; nil admits all.
	pace <-chan time.Time

	requests atomic.Int64
	users    atomic.Int64
	mu       sync.Mutex
	writes   []span
	live     []life
	ended    []life
	told     map[string]int
}

// span is the time from a write's call to its answer.
type span struct{ from, to time.Time }

// life is a user's session, its latest tokens, and its used tokens.
type life struct {
	sid             string
	key             ticketstore.Key
	refresh, access grantstore.Ref
	used            []grantstore.Ref
}

func (c *crowd) request(write bool, call func(ctx context.Context, now time.Time) error) error {
	if c.pace != nil {
		select {
		case <-c.pace:
		case <-c.t.Context().Done():
			return c.t.Context().Err()
		}
	}
	from := time.Now()
	err := call(c.t.Context(), from.UTC())
	c.requests.Add(1)
	if write {
		c.mu.Lock()
		c.writes = append(c.writes, span{from, time.Now()})
		c.mu.Unlock()
	}
	return err
}

func (c *crowd) apply(batch *grantstore.Batch) error {
	return c.request(true, func(ctx context.Context, now time.Time) error {
		// A minute ago: a client that got tokens just before the end of its session is notified twice.
		_, err := c.backend.Grants().Apply(ctx, batch, now.Add(-time.Minute))
		return err
	})
}

func grantOf(l *life, kind grantstore.Type, handle string, now time.Time) grantstore.Grant {
	return grantstore.Grant{
		Ref:       grantstore.Ref{Type: kind, Key: ticketstore.KeyOf(handle + l.sid)},
		RequestID: "request " + l.sid, SubjectID: "subject " + l.sid,
		SessionID: l.sid, ClientID: "app", Created: now, Expires: now.Add(time.Hour), Data: make([]byte, 512),
	}
}

// begin signs a user in at a client: a session, a code, and its exchange.
func (c *crowd) begin() (*life, error) {
	sid := fmt.Sprintf("sid-%d", c.users.Add(1))
	l := &life{sid: sid, key: ticketstore.KeyOf(sid)}
	past := time.Now().UTC().Add(-time.Minute)
	err := c.request(true, func(ctx context.Context, _ time.Time) error {
		return c.backend.Tickets().Create(ctx, &ticketstore.Session{
			Key: l.key, SessionID: sid, SubjectID: "subject " + sid, DisplayName: "User of " + sid,
			Issuer:   "https://op.example",
			AuthTime: past, Created: past, Renewed: past, Expires: past.Add(time.Hour),
			Ticket: make([]byte, 256),
		})
	})
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	code := grantOf(l, grantstore.AuthorizationCode, "code", past)
	err = c.apply(&grantstore.Batch{
		OperationID: "code " + sid, Use: &grantstore.Use{SessionID: sid, ClientID: "app", Notify: true},
		Store: []grantstore.Grant{code},
	})
	if err != nil {
		return nil, fmt.Errorf("authorize: %w", err)
	}
	return l, c.exchange(l, code.Ref, "0")
}

// exchange uses up a code or a refresh token.
func (c *crowd) exchange(l *life, used grantstore.Ref, turn string) error {
	now := time.Now().UTC().Add(-time.Minute)
	refresh, access := grantOf(l, grantstore.RefreshToken, "refresh"+turn, now), grantOf(l,
		grantstore.ReferenceToken, "access"+turn, now)
	err := c.apply(&grantstore.Batch{
		OperationID: "exchange " + turn + " " + l.sid, Consume: &grantstore.Consumption{Ref: used},
		Store: []grantstore.Grant{refresh, access},
	})
	if err != nil {
		return fmt.Errorf("exchange %s: %w", turn, err)
	}
	l.used, l.refresh, l.access = append(l.used, used), refresh.Ref, access.Ref
	return nil
}

// turn is a user's visit, with one request of each kind.
func (c *crowd) turn(i int) error {
	l, err := c.begin()
	if err != nil {
		return err
	}
	err = errors.Join(
		c.request(false, func(ctx context.Context, now time.Time) error {
			_, err := c.backend.Grants().Get(ctx, l.access, now)
			return err
		}),
		c.request(true, func(ctx context.Context, now time.Time) error {
			_, err := c.backend.Tickets().Renew(ctx,
				ticketstore.Renewal{Key: l.key, Version: 1, Expires: now.Add(2 * time.Hour)}, now)
			return err
		}),
		c.exchange(l, l.refresh, "1"),
		c.request(false, func(ctx context.Context, _ time.Time) error {
			_, err := c.backend.Tickets().Get(ctx, l.key)
			return err
		}),
		c.request(false, func(ctx context.Context, _ time.Time) error {
			_, err := c.backend.Tickets().Query(ctx,
				ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{SubjectID: "subject " + l.sid}})
			return err
		}),
	)
	if err != nil || i%2 == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.live = append(c.live, *l)
		return err
	}
	err = c.request(true, func(ctx context.Context, now time.Time) error {
		result, err := c.backend.Logout().End(ctx,
			&logout.Ending{OperationID: "end " + l.sid, SessionID: l.sid, Reason: logout.UserLogout}, now)
		if err == nil && result.SessionsRemoved+result.NotificationsQueued != 2 {
			err = fmt.Errorf("end: %+v", result)
		}
		return err
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = append(c.ended, *l)
	return err
}

// work runs n users until stop.
func (c *crowd) work(users int) (stop func()) {
	stopped := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range users {
		wg.Go(func() {
			for i := worker; !c.t.Failed(); i++ {
				select {
				case <-stopped:
					return
				default:
				}
				if err := c.turn(i); err != nil {
					c.t.Errorf("a request failed: %v", err)
				}
			}
		})
	}
	c.await(users)
	return func() {
		c.await(users)
		close(stopped)
		wg.Wait()
	}
}

// await waits until that many more visits have finished.
func (c *crowd) await(visits int) {
	c.t.Helper()
	seen := func() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.live) + len(c.ended) }
	from := seen()
	testenv.Eventually(c.t, "the users work", func() bool { return seen() >= from+visits || c.t.Failed() })
}

// ServeHTTP is the back-channel logout endpoint of the client.
func (c *crowd) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var claims struct {
		Session string `json:"sid"`
	}
	if err := json.Unmarshal([]byte(r.PostFormValue("logout_token")), &claims); err != nil {
		c.t.Errorf("a notification cannot be parsed: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told[claims.Session]++
}

// expectWhole checks that all acknowledged records exist, all ended sessions are over, and each end was
// notified once.
func (c *crowd) expectWhole() {
	c.t.Helper()
	ctx, now := c.t.Context(), time.Now().UTC()
	testenv.Eventually(c.t, "all notifications are sent", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.told) >= len(c.ended)
	})
	for _, l := range c.live {
		if _, err := c.backend.Tickets().Get(ctx, l.key); err != nil {
			c.t.Errorf("session %s was acknowledged: %v", l.sid, err)
		}
		for _, ref := range []grantstore.Ref{l.refresh, l.access} {
			if _, err := c.backend.Grants().Get(ctx, ref, now); err != nil {
				c.t.Errorf("a %s of %s was acknowledged: %v", ref.Type, l.sid, err)
			}
		}
		for _, ref := range l.used {
			if _, err := c.backend.Grants().Get(ctx, ref, now); !errors.Is(err, grantstore.ErrConsumed) {
				c.t.Errorf("a %s of %s was used: %v", ref.Type, l.sid, err)
			}
		}
	}
	for _, l := range c.ended {
		if _, err := c.backend.Tickets().Get(ctx, l.key); !errors.Is(err, ticketstore.ErrNotFound) {
			c.t.Errorf("session %s was ended: %v", l.sid, err)
		}
		if _, err := c.backend.Grants().Get(ctx, l.access, now); err == nil {
			c.t.Errorf("a token of %s is still live", l.sid)
		}
		if n := c.told[l.sid]; n != 1 {
			c.t.Errorf("the client was notified %d times of the end of %s", n, l.sid)
		}
	}
	if len(c.live) == 0 || len(c.ended) == 0 {
		c.t.Errorf("%d lives and %d ends prove nothing", len(c.live), len(c.ended))
	}
}

// pause returns the p99 of the writes in flight during a span.
func (c *crowd) pause(from, to time.Time) (p99 time.Duration, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var took []time.Duration
	for _, w := range c.writes {
		if w.from.Before(to) && w.to.After(from) {
			took = append(took, w.to.Sub(w.from))
		}
	}
	slices.Sort(took)
	if len(took) == 0 {
		return 0, 0
	}
	return took[min(len(took)-1, len(took)*99/100)], len(took)
}

// A large store is swapped twice under load: at 200 requests per second, and at full load. SESSIONS_SWAP_LOAD
// sets the number of sessions (make swap-load); the figures are in the test's log.
func TestSwapOfALargeStoreUnderLoad(t *testing.T) {
	t.Parallel()
	sessions := 1000
	if n, err := strconv.Atoi(os.Getenv("SESSIONS_SWAP_LOAD")); err == nil {
		sessions = n
	}
	c := &crowd{t: t, told: map[string]int{}}
	client := httptest.NewServer(c)
	defer client.Close()
	stores, folders := map[string]plugin.Config{}, map[string]string{}
	for _, name := range []string{"old", "new", "newer"} {
		folders[name] = t.TempDir()
		stores[name] = patient(binary(t, "sessions-badger"), badger.Settings{Path: folders[name]})
	}
	adapter := pluginHost(t, "old", stores, func(config *hostadapter.Config) {
		config.Clients = logout.ClientMap{"app": {BackChannelLogoutURI: client.URL}}
		config.Logout.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		config.Signer = signer(func(_ context.Context, claims []byte) (string, error) {
			return string(claims), nil
		})
	})
	c.backend = adapter.Backend()
	c.seed(sessions)

	ticker := time.NewTicker(time.Second / 200)
	defer ticker.Stop()
	c.pace = ticker.C
	stop := c.work(16)
	state, switched := c.swap(adapter, "new")
	stop()
	p99, n := c.pause(switched, state.Finished)
	t.Logf("at 200 requests/s: %d records, %.0f records/s, writes held %s, p99 of %d writes in the switch %s",
		state.Progress.Copied, state.Rate, state.Progress.Held, n, p99)
	c.expectWhole()

	c.pace = nil
	stop = c.work(16)
	before := c.rate(func() { time.Sleep(2 * time.Second) })
	during := c.rate(func() { state, switched = c.swap(adapter, "newer") })
	stop()
	p99, n = c.pause(switched, state.Finished)
	t.Logf("at full load: %.0f requests/s before, %.0f during the swap (%.2f), %.0f records/s, writes held "+
		"%s, p99 of %d writes in the switch %s",
		before, during, during/before, state.Rate, state.Progress.Held, n, p99)
	c.expectWhole()
	if err := adapter.Close(); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]transfer.State{
		"old": transfer.Superseded, "new": transfer.Superseded, "newer": transfer.Active,
	} {
		c.check(folders[name], want)
	}
}

// check runs the engine's check on a closed store.
func (c *crowd) check(folder string, want transfer.State) {
	c.t.Helper()
	engine, err := badger.Open(c.t.Context(), badger.Settings{Path: folder}, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Error(err)
		return
	}
	report, err := engine.Check(c.t.Context(), badger.CheckConfig{})
	if err != nil || report.State != want || len(report.Findings) > 0 {
		c.t.Errorf("the store is %+v, error %v, want it %s and without findings", report, err, want)
	}
	if err := engine.Close(); err != nil {
		c.t.Error(err)
	}
}

// rate returns the requests answered per second while f runs.
func (c *crowd) rate(f func()) float64 {
	from, n := time.Now(), c.requests.Load()
	f()
	return float64(c.requests.Load()-n) / time.Since(from).Seconds()
}

// seed signs in users without further activity.
func (c *crowd) seed(n int) {
	c.t.Helper()
	var wg sync.WaitGroup
	const workers = 64
	for worker := range workers {
		wg.Go(func() {
			for i := worker; i < n && !c.t.Failed(); i += workers {
				if _, err := c.begin(); err != nil {
					c.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	c.writes = nil
}

// swap makes a swap and returns its end state and when the switch began.
func (c *crowd) swap(
	adapter *hostadapter.Adapter, name string,
) (state *hostadapter.SwapState, switched time.Time) {
	c.t.Helper()
	id, err := adapter.Operations().Swap(c.t.Context(), name)
	if err != nil {
		c.t.Error(err)
		return &hostadapter.SwapState{}, time.Now()
	}
	testenv.Eventually(c.t, "the swap is finished", func() bool {
		if state, err = adapter.Operations().SwapByID(c.t.Context(), id); err != nil {
			c.t.Fatal(err)
		}
		if switched.IsZero() && state.Progress.Phase == transfer.Switching {
			switched = time.Now()
		}
		return !state.Finished.IsZero()
	})
	if state.Err != nil || adapter.Operations().BackendName() != name {
		c.t.Errorf("swap to %s: %+v", name, state)
	}
	if switched.IsZero() {
		switched = state.Finished.Add(-state.Progress.Held)
	}
	return state, switched
}
