package admin_test

// Requests with a wrong token are throttled, and their log lines are bounded.

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/admin"
)

// addressed is a manager with a clock and configured remote addresses.
type addressed struct {
	*manager
	now time.Time
}

func (a *addressed) RemoteAddr(r *http.Request) string { return r.Header.Get("From") }
func (a *addressed) Now() time.Time                    { return a.now }

// quiet discards the log, because the manager's logger is a bottleneck.
type quiet struct{ *addressed }

func (quiet) Logger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// guessed serves the routes for requests with a secret.
func guessed() (m *addressed, ask func(secret, from, path string) *http.Response) {
	m = &addressed{&manager{}, moment}
	handler := admin.Handler(admin.Config{Operations: m, Authorize: func(r *http.Request,
		_ admin.Permission) (admin.Actor, error) {
		switch r.Header.Get("Authorization") {
		case "Bearer right":
			return admin.Actor{Name: "admin"}, nil
		case "":
			return admin.Actor{}, &admin.SignInError{URL: "/sign-in"}
		}
		return admin.Actor{}, admin.ErrUnauthenticated
	}})
	return m, func(secret, from, path string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = path
		r.Header.Set("From", from)
		if secret != "" {
			r.Header.Set("Authorization", "Bearer "+secret)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Result()
	}
}

// Attempts from an address are checked 20 times a minute, independent of other addresses. An address that
// sent the right secret recently is not throttled.
func TestGuessesAreThrottled(t *testing.T) {
	t.Parallel()
	m, ask := guessed()
	guess := func(from string) int { return ask("wrong", from, "/sessions").StatusCode }
	right := func(from string) int { return ask("right", from, "/sessions").StatusCode }
	if got := right("192.0.2.9"); got != http.StatusOK {
		t.Fatalf("the right secret got %d", got)
	}
	for _, from := range []string{"2001:db8::1", "192.0.2.9"} {
		refused := 0
		for refused < 1000 && guess(from) == http.StatusUnauthorized {
			refused++
		}
		if refused != 20 {
			t.Errorf("%d attempts got 401, want 20", refused)
		}
	}
	got := ask("wrong", "[2001:db8::2]:443", "/sessions")
	if seconds, err := strconv.Atoi(got.Header.Get("Retry-After")); got.StatusCode !=
		http.StatusTooManyRequests || err != nil || seconds < 1 || seconds > 60 {
		t.Errorf("an attempt from elsewhere: %d, Retry-After %q", got.StatusCode,
			got.Header.Get("Retry-After"))
	}
	if got := right("2001:db8::1"); got != http.StatusTooManyRequests {
		t.Errorf("the right secret from a throttled address got %d: the authorizer was called", got)
	}
	if got := right("192.0.2.9"); got != http.StatusOK {
		t.Errorf("from an address that sent the right secret before it got %d", got)
	}
	if got := ask("", "2001:db8::1", "/ui/").StatusCode; got != http.StatusSeeOther {
		t.Errorf("an operator without a secret got %d", got)
	}
	m.now = m.now.Add(time.Minute)
	if guess("2001:db8::1") != http.StatusUnauthorized || right("2001:db8::1") != http.StatusOK {
		t.Error("after a minute it is still throttled")
	}
	m.now = m.now.Add(time.Hour)
	for range 30 {
		guess("192.0.2.9")
	}
	if got := right("192.0.2.9"); got != http.StatusTooManyRequests {
		t.Errorf("an hour after the right secret it got %d after 30 attempts", got)
	}
}

// A known but forbidden sender, such as an ordinary user with a cookie, gets no additional attempts, with or
// without that cookie.
func TestGuessesByForbiddenSenders(t *testing.T) {
	t.Parallel()
	asked := 0
	handler := admin.Handler(admin.Config{Operations: quiet{&addressed{&manager{}, moment}},
		Authorize: func(r *http.Request, _ admin.Permission) (admin.Actor, error) {
			asked++
			if r.Header.Get("Cookie") != "" {
				return admin.Actor{ID: "42"}, admin.ErrForbidden
			}
			return admin.Actor{}, admin.ErrUnauthenticated
		}})
	send := func(cookie, secret string) {
		r := httptest.NewRequest(http.MethodGet, "/sessions", nil)
		r.Header.Set("From", "192.0.2.1")
		for name, value := range map[string]string{"Cookie": cookie, "Authorization": secret} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	send("a=b", "")
	asked = 0
	for range 15 {
		send("a=b", "wrong")
		send("", "wrong")
	}
	if asked != 20 {
		t.Errorf("of 30 attempts the authorizer checked %d, want 20", asked)
	}
}

// The bound of all refusals together limits their log lines. It does not throttle addresses, however many
// there are.
func TestGuessesFromManyAddresses(t *testing.T) {
	t.Parallel()
	m, ask := guessed()
	refused := 0
	for i := range 30_000 {
		if ask("wrong", fmt.Sprintf("10.%d.%d.1", i/250, i%250),
			"/sessions").StatusCode == http.StatusUnauthorized {
			refused++
		}
	}
	if lines := strings.Count(m.log.String(), "\n"); refused != 300 || lines != 300 {
		t.Errorf("%d attempts got 401 and %d were logged, want 300", refused, lines)
	}
	if got := ask("right", "192.0.2.1", "/sessions").StatusCode; got != http.StatusOK {
		t.Errorf("the right secret from a different address got %d", got)
	}
}

// Right secrets do not count, in any number and concurrently; attempts are counted before they are checked.
func TestConcurrentGuesses(t *testing.T) {
	t.Parallel()
	m := quiet{&addressed{&manager{}, moment}}
	var asked, seen atomic.Int64
	release := make(chan struct{})
	arrived := func() {
		if seen.Add(1) == 100 { // each attempt is either checked or refused
			close(release)
		}
	}
	handler := admin.Handler(admin.Config{Operations: m, Authorize: func(r *http.Request,
		_ admin.Permission) (admin.Actor, error) {
		if r.Header.Get("Authorization") == "right" {
			return admin.Actor{Name: "admin"}, nil
		}
		asked.Add(1)
		arrived()
		<-release
		return admin.Actor{}, admin.ErrUnauthenticated
	}})
	send := func(secret, from string) int {
		r := httptest.NewRequest(http.MethodGet, "/sessions", nil)
		r.Header.Set("From", from)
		r.Header.Set("Authorization", secret)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	for range 100 {
		if got := send("right", "192.0.2.1"); got != http.StatusOK {
			t.Fatalf("the right secret got %d", got)
		}
	}
	var guesses sync.WaitGroup
	for range 100 {
		guesses.Go(func() {
			if send("wrong", "192.0.2.2") == http.StatusTooManyRequests {
				arrived()
			}
		})
	}
	guesses.Wait()
	if got := asked.Load(); got != 20 {
		t.Errorf("of 100 concurrent attempts the authorizer checked %d, want 20", got)
	}
}

// Unknown senders cannot fill the log: the first refusals of a minute have one short line each, and the
// others are counted.
func TestRefusalLogIsBounded(t *testing.T) {
	t.Parallel()
	m, ask := guessed()
	for range 100 {
		ask("", "192.0.2.1\nforged \x1b[31m"+strings.Repeat("x", 10_000),
			"/ui/"+"\x1b"+strings.Repeat("y", 10_000))
		ask("wrong", "192.0.2.1\nforged \x1b[31m"+strings.Repeat("x", 10_000), "/sessions")
	}
	if lines := strings.Count(m.log.String(), "\n"); lines != 20 || m.log.Len() > 20*2000 {
		t.Errorf("200 refusals made %d lines of %d bytes", lines, m.log.Len())
	}
	if strings.ContainsAny(m.log.String(), "\x1b\r") || strings.Contains(m.log.String(), `\n`) ||
		strings.Contains(m.log.String(), `\x1b`) {
		t.Error("a sender's control characters are in the log")
	}
	m.log.Reset()
	m.now = m.now.Add(time.Minute)
	for range 2 {
		ask("right", "192.0.2.1", "/sessions")
	}
	if log := m.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "more_refused=180") {
		t.Errorf("the log has %q, want the number of other refusals", log)
	}
}
