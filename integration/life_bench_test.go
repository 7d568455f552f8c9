package integration

// Benchmarks of a session's life cycle and expiry.

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type lifeSigner struct{}

func (lifeSigner) Sign(_ context.Context, claims []byte) (string, error) { return string(claims), nil }

// lifeHost is an adapter over the plugin, with durable writes and a clock that can be advanced.
type lifeHost struct {
	*hostadapter.Adapter
	ahead atomic.Int64
}

func newLifeHost(b *testing.B, of plugin.Config, change ...func(*hostadapter.Config)) *lifeHost {
	b.Helper()
	logger, backend := of.Logger, openPlugin(b, of)
	h := &lifeHost{}
	config := hostadapter.Config{
		Backend: backend, Issuer: "http://localhost:9000", Keys: benchKeys,
		Signer:  lifeSigner{},
		Clients: logout.ClientMap{}, Logger: logger, Now: func() time.Time {
			return time.Now().Add(time.Duration(h.ahead.Load()))
		},
	}
	for _, c := range change {
		c(&config)
	}
	var err error
	if h.Adapter, err = hostadapter.New(b.Context(), config); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = h.Close() })
	return h
}

// signIn returns a request of a browser signed in as a new user.
func (h *lifeHost) signIn() (*http.Request, error) {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	if _, err := h.SignIn(w, r, hostadapter.Identity{Subject: rand.Text(), DisplayName: "Ann"}); err != nil {
		return nil, err
	}
	next := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, cookie := range w.Result().Cookies() {
		next.AddCookie(cookie)
	}
	return next, nil
}

// BenchmarkLife measures sign-in, renewal and sign-out over the plugin.
func BenchmarkLife(b *testing.B) {
	onEngines(b, func(b *testing.B, empty func() plugin.Config) {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("step=sign-in/callers=%d", callers), func(b *testing.B) {
				h := newLifeHost(b, empty())
				share(b, callers, func(int, int) error { _, err := h.signIn(); return err })
			})
			for step, run := range map[string]func(h *lifeHost, r *http.Request) error{
				"slide": func(h *lifeHost, r *http.Request) error { _, err := h.Session(r); return err },
				"sign-out": func(h *lifeHost, r *http.Request) error {
					return h.SignOut(httptest.NewRecorder(), r)
				},
			} {
				b.Run(fmt.Sprintf("step=%s/callers=%d", step, callers), func(b *testing.B) {
					h := newLifeHost(b, empty())
					browsers := make([]*http.Request, b.N)
					prepare(b, b.N, func(i int) (err error) { browsers[i], err = h.signIn(); return err })
					h.ahead.Store(int64(5 * time.Minute)) // each is renewed once
					share(b, callers, func(_, i int) error { return run(h, browsers[i]) })
				})
			}
		}
	})
}

// prepare runs n steps concurrently, outside of the measurement.
func prepare(b *testing.B, n int, step func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := step(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkExpiryAtOnce measures how many sessions that fall due at the same time end per second, and how
// long a sign-in takes meanwhile. Each session has ten clients, which are notified and answer immediately.
func BenchmarkExpiryAtOnce(b *testing.B) {
	sessions, clients := 2_000, 10
	if large() {
		sessions = 100_000
	}
	onEngines(b, func(b *testing.B, empty func() plugin.Config) {
		for b.Loop() {
			b.StopTimer()
			expireAtOnce(b, empty(), sessions, clients)
		}
	})
}

func expireAtOnce(b *testing.B, config plugin.Config, sessions, clients int) {
	b.Helper()
	var told atomic.Int64
	party := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		told.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	b.Cleanup(party.Close)
	now := time.Now().UTC()
	fill(b, config, &filling{
		sessions: sessions, clients: clients, session: func(i int) *ticketstore.Session {
			return benchSession(i, fmt.Sprint("user ", i), now, now.Add(time.Hour))
		},
	})
	h := newLifeHost(b, config, func(c *hostadapter.Config) {
		c.Lifetime.IdleTimeout = time.Hour
		c.Logout.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		known := logout.ClientMap{}
		for i := range clients {
			known[fmt.Sprint("client-", i)] = logout.Client{BackChannelLogoutURI: party.URL}
		}
		c.Clients = known
	})
	before := h.signInTimes(b, func(n int) bool { return n >= 500 })
	due := sessions + len(before)
	h.ahead.Store(int64(2 * time.Hour))
	begin := time.Now()
	b.StartTimer()
	during := h.signInTimes(b, func(n int) bool {
		page, err := h.QuerySessions(b.Context(), ticketstore.SessionQuery{Count: 1})
		if err != nil {
			b.Fatal(err)
		}
		return page.TotalCount == n
	})
	took := time.Since(begin).Seconds()
	b.ReportMetric(float64(due)/took, "ended/s")
	b.ReportMetric(float64(told.Load())/took, "told/s")
	b.ReportMetric(percentile(before, 99), "ms-signin-p99-idle")
	b.ReportMetric(percentile(during, 99), "ms-signin-p99")
	b.ReportMetric(percentile(before, 50), "ms-signin-p50-idle")
	b.ReportMetric(percentile(during, 50), "ms-signin-p50")
}

// signInTimes signs in repeatedly until done, and returns the durations.
func (h *lifeHost) signInTimes(b *testing.B, done func(n int) bool) (times []time.Duration) {
	b.Helper()
	for !done(len(times)) {
		begin := time.Now()
		if _, err := h.signIn(); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begin))
	}
	return times
}

// BenchmarkExpiryLag measures the delay of each end, for sessions that fall due 20 ms apart among many that
// do not.
func BenchmarkExpiryLag(b *testing.B) {
	others, due := 10_000, 200
	if large() {
		others = 1_000_000
	}
	onEngines(b, func(b *testing.B, empty func() plugin.Config) {
		for b.Loop() {
			b.StopTimer()
			config, events := empty(), &lagRecorder{step: 20 * time.Millisecond}
			now := time.Now().UTC()
			fill(b, config, &filling{sessions: others, session: func(i int) *ticketstore.Session {
				return benchSession(i, fmt.Sprint("user ", i), now, now.Add(24*time.Hour))
			}})
			h := newLifeHost(b, config, func(c *hostadapter.Config) {
				c.Events, c.Lifetime.IdleTimeout = []hostadapter.Subscriber{events}, 2*time.Second
			})
			now = h.Operations().Now()
			events.first = now.Add(2 * time.Second)
			prepare(b, due, func(i int) error {
				expires := events.first.Add(time.Duration(i) * events.step)
				return h.Backend().Tickets().Create(b.Context(),
					benchSession(others+i, fmt.Sprint("due ", i), now, expires))
			})
			b.StartTimer()
			for events.count() < due {
				time.Sleep(events.step) // until the next session falls due
			}
			lags := events.lags()
			b.ReportMetric(percentile(lags, 50), "ms-lag-p50")
			b.ReportMetric(percentile(lags, 99), "ms-lag-p99")
		}
	})
}

// lagRecorder records when ends are published. Session n fell due n steps after the first.
type lagRecorder struct {
	mu    sync.Mutex
	ended []time.Time
	first time.Time
	step  time.Duration
}

func (l *lagRecorder) Receive(_ context.Context, event hostadapter.Event) {
	if e, ok := event.(*hostadapter.SessionEnded); ok {
		l.mu.Lock()
		l.ended = append(l.ended, e.Time)
		l.mu.Unlock()
	}
}

func (l *lagRecorder) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ended)
}

func (l *lagRecorder) lags() (lags []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortFunc(l.ended, time.Time.Compare)
	for i, at := range l.ended {
		lags = append(lags, at.Sub(l.first.Add(time.Duration(i)*l.step)))
	}
	return lags
}

// percentile returns a percentile in milliseconds.
func percentile(times []time.Duration, p int) float64 {
	slices.Sort(times)
	return float64(times[min(len(times)*p/100, len(times)-1)].Microseconds()) / 1000
}
