package logout_test

// Tests of the Dispatcher against HTTP servers and a queue in memory.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	answer := func(code int, body string) func(http.ResponseWriter, *http.Request, int) {
		return func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		}
	}
	tests := []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request, int)
		state  logout.State
		want   string
	}{
		{"200", status(200), logout.Delivered, ""},
		{"204", status(204), logout.Delivered, ""},
		{"200 with a body", answer(200, strings.Repeat("x", 100_000)), logout.Delivered, ""},
		{"400", status(400), logout.Pending, "the client answered 400"},
		{"400 with an error", answer(400, `{"error":"invalid_request","error_description":"private"}`),
			logout.Refused,
			"the client answered 400, invalid_request"},
		{"400 with a page", answer(400, `<h1>secret</h1>`), logout.Pending, "the client answered 400"},
		{
			"400 with an odd error", answer(400, `{"error":"<script>"}`), logout.Pending,
			"the client answered 400",
		},
		{"202", status(202), logout.Pending, "the client answered 202"},
		{"302", status(302), logout.Pending, "the client answered 302: redirects are not followed"},
		{"401", status(401), logout.Pending, "the client answered 401"},
		{"404", status(404), logout.Pending, "the client answered 404"},
		{"429", status(429), logout.Pending, "the client answered 429"},
		{"500", status(500), logout.Pending, "the client answered 500"},
		{"501", status(501), logout.Pending, "the client answered 501"},
		{"no answer", func(http.ResponseWriter, *http.Request, int) {
			panic(http.ErrAbortHandler)
		}, logout.Pending, "the connection ended without an answer that is HTTP"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rp := newRelyingParty(t, test.answer)
			q := newQueue(due("n", "rp"))
			before := time.Now()
			start(t, q, logout.ClientMap{"rp": rp.client("rp")}, once)
			n := q.waitAttempts(t, "n", 1)
			if n.State != test.state || n.LastError != test.want {
				t.Errorf("state %q, last error %q; want %q, %q", n.State, n.LastError, test.state, test.want)
			}
			if test.state == logout.Pending && n.NextAttempt.Before(before.Add(45*time.Minute)) {
				t.Errorf("next attempt %v, want about an hour from now", n.NextAttempt)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, status(200))
	client := rp.client("rp")
	client.BackChannelLogoutURI = rp.URL + "/back?logout=backchannel&x=%2F"
	q := newQueue(due("n", "rp"))
	start(t, q, logout.ClientMap{"rp": client})
	q.waitState(t, "n", logout.Delivered)

	r := rp.last
	if r.Method != http.MethodPost || r.URL.RequestURI() != "/back?logout=backchannel&x=%2F" {
		t.Errorf("got %s %s, want a POST to the URI with its query", r.Method, r.URL.RequestURI())
	}
	if got := r.Header.Get("Content-Type"); got != "application/x-www-form-urlencoded" {
		t.Errorf("Content-Type %q, want a form", got)
	}
	if r.ContentLength <= 0 || len(r.TransferEncoding) > 0 {
		t.Errorf("content length %d, transfer encoding %v; want a length and no chunks", r.ContentLength,
			r.TransferEncoding)
	}
	got := rp.received()[0]
	switch {
	case got.Issuer != "https://op.example" || got.Audience != "rp" || got.Session != "sid-1":
		t.Errorf("iss, aud, sid are %q, %q, %q", got.Issuer, got.Audience, got.Session)
	case got.Subject == nil || *got.Subject != "alice":
		t.Error("sub is missing")
	case got.Nonce != nil:
		t.Error("there is a nonce")
	case got.Expires <= got.IssuedAt || got.Expires-got.IssuedAt > 120:
		t.Errorf("exp is %d s after iat, want at most 120", got.Expires-got.IssuedAt)
	case time.Since(time.Unix(got.IssuedAt, 0)).Abs() > 30*time.Second:
		t.Errorf("iat %d is not now", got.IssuedAt)
	}
	event, ok := got.Events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
	if !ok || len(event) != 0 || len(got.Events) != 1 {
		t.Errorf("events are %v, want the one of a logout, empty", got.Events)
	}
}

func TestSessionRequiredHasNoSubject(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, status(200))
	client := rp.client("rp")
	client.SessionRequired = true
	q := newQueue(due("n", "rp"))
	start(t, q, logout.ClientMap{"rp": client})
	q.waitState(t, "n", logout.Delivered)
	if got := rp.received()[0]; got.Subject != nil || got.Session != "sid-1" {
		t.Errorf("sub %v, sid %q; want no sub and a sid", got.Subject, got.Session)
	}
}

func TestDeliveredAtTheThirdAttempt(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, func(w http.ResponseWriter, _ *http.Request, attempt int) {
		if attempt < 3 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	q := newQueue(due("n", "rp"))
	start(t, q, logout.ClientMap{"rp": rp.client("rp")})
	n := q.waitState(t, "n", logout.Delivered)
	if n.LastError != "" || n.Attempts != 3 {
		t.Errorf("last error %q after %d attempts, want none after 3", n.LastError, n.Attempts)
	}
	ids := map[string]bool{}
	for _, token := range rp.received() {
		ids[token.ID] = true
	}
	if len(ids) != 3 || ids[""] {
		t.Errorf("jti of three attempts: %v, want three different ones", ids)
	}
}

// A 400 without an OAuth error may come from a proxy or an outage: it is retried, but not for a whole day.
func TestBadRequestWithoutAnError(t *testing.T) {
	t.Parallel()
	t.Run("that passes", func(t *testing.T) {
		t.Parallel()
		rp := newRelyingParty(t, func(w http.ResponseWriter, _ *http.Request, attempt int) {
			if attempt < 5 {
				w.WriteHeader(http.StatusBadRequest)
			}
		})
		q := newQueue(due("n", "rp"))
		start(t, q, logout.ClientMap{"rp": rp.client("rp")})
		if n := q.waitState(t, "n", logout.Delivered); n.Attempts != 5 {
			t.Errorf("delivered at attempt %d, want the fifth", n.Attempts)
		}
	})
	t.Run("after an outage", func(t *testing.T) {
		t.Parallel()
		rp := newRelyingParty(t, func(w http.ResponseWriter, _ *http.Request, attempt int) {
			switch {
			case attempt < 6:
				w.WriteHeader(http.StatusBadGateway)
			case attempt == 6:
				w.WriteHeader(http.StatusBadRequest)
			}
		})
		q := newQueue(due("n", "rp"))
		start(t, q, logout.ClientMap{"rp": rp.client("rp")})
		if n := q.waitState(t, "n", logout.Delivered); n.Attempts != 7 {
			t.Errorf("delivered at attempt %d, want the seventh", n.Attempts)
		}
	})
	t.Run("that stays", func(t *testing.T) {
		t.Parallel()
		rp := newRelyingParty(t, status(http.StatusBadRequest))
		q := newQueue(due("n", "rp"))
		start(t, q, logout.ClientMap{"rp": rp.client("rp")})
		n := q.waitState(t, "n", logout.Refused)
		if n.Attempts != 5 || n.LastError != "the client answered 400" || len(rp.received()) != 5 {
			t.Errorf("refused after %d attempts, %d requests: %q; want 5", n.Attempts, len(rp.received()),
				n.LastError)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		header   func(now time.Time) string
		min, max time.Duration
	}{
		{"seconds", func(time.Time) string { return "3600" }, 59 * time.Minute, 61 * time.Minute},
		{"date", func(now time.Time) string {
			return now.Add(2 * time.Hour).UTC().Format(http.TimeFormat)
		}, 119 * time.Minute, 121 * time.Minute},
		{"beyond the window", func(time.Time) string {
			return "999999999999999999999"
		}, logout.RetryWindow - time.Minute, logout.RetryWindow},
		{"date in the past", func(now time.Time) string {
			return now.Add(-time.Hour).UTC().Format(http.TimeFormat)
		}, 0, 2 * time.Minute},
		{"shorter than the backoff", func(time.Time) string {
			return "0"
		}, 30 * time.Second, 2 * time.Minute},
		{"nonsense", func(time.Time) string { return "soon" }, 30 * time.Second, 2 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			rp := newRelyingParty(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Retry-After", test.header(begin))
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			q := newQueue(due("n", "rp"))
			start(t, q, logout.ClientMap{"rp": rp.client("rp")}, func(c *logout.DispatcherConfig) {
				c.RetryBase, c.RetryMost = time.Minute, time.Minute
			})
			wait := q.waitAttempts(t, "n", 1).NextAttempt.Sub(begin)
			if wait < test.min || wait > test.max+10*time.Second {
				t.Errorf("next attempt after %v, want %v to %v", wait, test.min, test.max)
			}
		})
	}
}

func TestGivesUpAtTheEndOfTheWindow(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, status(500))
	n := due("n", "rp")
	n.GiveUpAt = time.Now().Add(-time.Second)
	q := newQueue(n)
	start(t, q, logout.ClientMap{"rp": rp.client("rp")})
	if got := q.waitState(t, "n", logout.GivenUp); got.LastError != "the client answered 500" ||
		len(rp.received()) != 1 {
		t.Errorf("last error %q after %d attempts, want the client's answer to one last attempt",
			got.LastError, len(rp.received()))
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	target := newRelyingParty(t, status(200))
	for _, code := range []int{301, 302, 303, 307, 308} {
		rp := newRelyingParty(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(w, r, target.URL, code)
		})
		q := newQueue(due("n", "rp"))
		start(t, q, logout.ClientMap{"rp": rp.client("rp")}, once)
		if n := q.waitAttempts(t, "n", 1); n.State != logout.Pending {
			t.Errorf("state after %d is %q, want pending", code, n.State)
		}
	}
	if n := len(target.received()); n != 0 {
		t.Errorf("the target of the redirects was sent %d tokens, want none", n)
	}
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, status(200))
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		client := rp.client("rp")
		client.BackChannelLogoutURI = strings.Replace(client.BackChannelLogoutURI, "127.0.0.1", host, 1) +
			"?key=hush"
		q := newQueue(due("n", "rp"))
		start(t, q, logout.ClientMap{"rp": client}, once,
			func(c *logout.DispatcherConfig) { c.AllowCIDRs = nil })
		n := q.waitAttempts(t, "n", 1)
		if n.State != logout.Pending || !strings.Contains(n.LastError, "not public") {
			t.Errorf("%s: state %q, last error %q; want pending and the address as the reason", host, n.State,
				n.LastError)
		}
		if strings.Contains(n.LastError, "hush") {
			t.Errorf("last error %q has the URI's query", n.LastError)
		}
	}
	if n := len(rp.received()); n != 0 {
		t.Errorf("%d requests came through, want none", n)
	}
}

func TestUnsendableNotificationIsRetried(t *testing.T) {
	t.Parallel()
	failing := clientFunc(func(context.Context, string) (*logout.Client, error) {
		return nil, errors.New("database password is hush")
	})
	tests := []struct {
		name   string
		change func(*logout.DispatcherConfig)
		want   string
	}{
		{
			"unknown client", func(c *logout.DispatcherConfig) { c.Clients = logout.ClientMap{} },
			"the client is not registered",
		},
		{
			"no URI", func(c *logout.DispatcherConfig) { c.Clients = logout.ClientMap{"rp": {}} },
			"the client has no backchannel_logout_uri",
		},
		{"URI without scheme", func(c *logout.DispatcherConfig) {
			c.Clients = logout.ClientMap{"rp": {BackChannelLogoutURI: "rp.example/x"}}
		},
			"invalid backchannel_logout_uri: has no scheme: it must be absolute"},
		{
			"clients unavailable", func(c *logout.DispatcherConfig) { c.Clients = failing },
			"the client cannot be looked up",
		},
		{
			"signer fails", func(c *logout.DispatcherConfig) { c.Signer = plainSigner{errors.New("hush")} },
			"the logout token cannot be signed",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(due("n", "rp"))
			start(t, q, logout.ClientMap{"rp": {BackChannelLogoutURI: "http://127.0.0.1:1"}}, once,
				test.change)
			if n := q.waitAttempts(t, "n", 1); n.State != logout.Pending || n.LastError != test.want {
				t.Errorf("state %q, last error %q; want pending, %q", n.State, n.LastError, test.want)
			}
		})
	}
}

type clientFunc func(ctx context.Context, id string) (*logout.Client, error)

func (f clientFunc) LogoutClient(ctx context.Context, id string) (*logout.Client, error) {
	return f(ctx, id)
}

func TestHangingClientDelaysNoOther(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var atOnce, most atomic.Int32
	slow := newRelyingParty(t, func(_ http.ResponseWriter, r *http.Request, _ int) {
		n := atOnce.Add(1)
		defer atOnce.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	fast := newRelyingParty(t, status(204))
	q := newQueue()
	for i := range 50 {
		q.add(due(fmt.Sprintf("a%02d", i), "slow"))
	}
	for i := range 20 {
		q.add(due(fmt.Sprintf("b%02d", i), "fast"))
	}
	start(t, q, logout.ClientMap{"slow": slow.client("slow"), "fast": fast.client("fast")},
		func(c *logout.DispatcherConfig) {
			c.Concurrency, c.PerClient = 4, 2
		})
	for i := range 20 {
		q.waitState(t, fmt.Sprintf("b%02d", i), logout.Delivered)
	}
	testenv.Eventually(t, "two deliveries to the slow client are in flight", func() bool {
		return most.Load() >= 2
	})
	if got := most.Load(); got != 2 {
		t.Errorf("%d concurrent deliveries to the slow client, want 2", got)
	}
}

func TestSlowAnswersAreCutOff(t *testing.T) {
	t.Parallel()
	drip := func(code int) func(http.ResponseWriter, *http.Request, int) {
		return func(w http.ResponseWriter, r *http.Request, _ int) {
			w.WriteHeader(code)
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(10 * time.Millisecond) // the timeout ends it, not its size
			}
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() }
	header := func(w http.ResponseWriter, _ *http.Request, _ int) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
		for err == nil { // until the other side closes the connection
			_, err = conn.Write([]byte("X-More: to come\r\n"))
			time.Sleep(time.Millisecond)
		}
	}
	tests := []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request, int)
		state  logout.State
		want   string
		// within is the dispatcher's timeout; the body has a timeout of its own.
		within time.Duration
	}{
		{"endless body of a 200", drip(200), logout.Delivered, "", time.Hour},
		{"endless body of a 500", drip(500), logout.Pending, "the client answered 500", time.Hour},
		{"endless header", header, logout.Pending, "no answer within 300ms", 300 * time.Millisecond},
		{"no header", hang, logout.Pending, "no answer within 300ms", 300 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rp := newRelyingParty(t, test.answer)
			q := newQueue(due("n", "rp"))
			start(t, q, logout.ClientMap{"rp": rp.client("rp")}, once,
				func(c *logout.DispatcherConfig) { c.Timeout = test.within })
			if n := q.waitAttempts(t, "n", 1); n.State != test.state || n.LastError != test.want {
				t.Errorf("state %q, last error %q; want %q, %q", n.State, n.LastError, test.state, test.want)
			}
		})
	}
}

func TestWorkLeftByAnEarlierRun(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, status(200))
	clients := logout.ClientMap{"rp": rp.client("rp")}
	q := newQueue(due("before", "rp"))
	d := start(t, q, clients)
	q.waitState(t, "before", logout.Delivered)
	if err := d.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	q.add(due("after", "rp"))
	start(t, q, clients)
	q.waitState(t, "after", logout.Delivered)
}

func TestWakeAndNextDue(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, status(200))
	later := due("later", "rp")
	later.NextAttempt = time.Now().Add(300 * time.Millisecond)
	q := newQueue(later)
	d := start(t, q, logout.ClientMap{"rp": rp.client("rp")},
		func(c *logout.DispatcherConfig) { c.Poll = time.Hour })
	q.waitState(t, "later", logout.Delivered)
	q.add(due("now", "rp"))
	d.Wake()
	q.waitState(t, "now", logout.Delivered)
}

func TestStoreFailsAndRecovers(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, status(200))
	q := newQueue(due("n", "rp"))
	q.claimErr, q.settleIn = ticketstore.ErrUnavailable, 2
	start(t, q, logout.ClientMap{"rp": rp.client("rp")})
	q.mu.Lock()
	q.claimErr = nil
	q.mu.Unlock()
	q.waitState(t, "n", logout.Delivered)
	if n := len(rp.received()); n != 1 {
		t.Errorf("notified %d times, want once: only the settlement must be repeated", n)
	}
}

func TestCloseLetsDeliveriesFinish(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	rp := newRelyingParty(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		close(arrived)
		<-release
		w.WriteHeader(http.StatusNoContent)
	})
	q := newQueue(due("n", "rp"))
	d := start(t, q, logout.ClientMap{"rp": rp.client("rp")},
		func(c *logout.DispatcherConfig) { c.Timeout = time.Minute })
	<-arrived
	closed := make(chan error, 1)
	go func() { closed <- d.Close() }()
	close(release)
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if n := q.get("n"); n.State != logout.Delivered {
		t.Errorf("state after Close is %q, want delivered", n.State)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestDispatcherConfig(t *testing.T) {
	t.Parallel()
	_, err := logout.NewDispatcher(logout.DispatcherConfig{Timeout: -1, PerClient: -1, Concurrency: 100_000})
	for _, field := range []string{"store", "signer", "clients", "timeout", "per_client", "concurrency"} {
		if err == nil || !strings.Contains(err.Error(), "invalid "+field+":") {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
	if !errors.Is(err, ticketstore.ErrInvalid) {
		t.Errorf("error %v is not ticketstore.ErrInvalid", err)
	}
}
