package admin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/hostadapter/admin"
)

// addressed is a manager that says where requests come from, and has a clock.
type addressed struct {
	*manager
	now time.Time
}

func (a *addressed) RemoteAddr(r *http.Request) string { return r.Header.Get("From") }
func (a *addressed) Now() time.Time                    { return a.now }

// guessed are the routes, for requests that show a secret.
func guessed() (m *addressed, ask func(secret, from, path string) *http.Response) {
	m = &addressed{&manager{}, moment}
	router := mux.NewRouter()
	admin.Mount(router, m, func(r *http.Request, _ admin.Permission) (admin.Actor, error) {
		switch r.Header.Get("Authorization") {
		case "Bearer right":
			return admin.Actor{Name: "admin"}, nil
		case "":
			return admin.Actor{}, &admin.SignInError{URL: "/sign-in"}
		}
		return admin.Actor{}, admin.ErrUnauthenticated
	})
	return m, func(secret, from, path string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = path
		r.Header.Set("From", from)
		if secret != "" {
			r.Header.Set("Authorization", "Bearer "+secret)
		}
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		return w.Result()
	}
}

// Guesses are throttled by address and altogether, and what is let through never is.
func TestGuessesAreThrottled(t *testing.T) {
	t.Parallel()
	m, ask := guessed()
	guess := func(from string) int { return ask("wrong", from, "/sessions").StatusCode }
	refused := 0
	for refused < 1000 && guess("2001:db8::1") == http.StatusUnauthorized {
		refused++
	}
	if refused != 20 {
		t.Errorf("%d guesses were answered 401, want 20", refused)
	}
	got := ask("wrong", "[2001:db8::2]:443", "/sessions")
	if seconds, err := strconv.Atoi(got.Header.Get("Retry-After")); got.StatusCode != http.StatusTooManyRequests || err != nil || seconds < 1 || seconds > 60 {
		t.Errorf("a guess of a neighbour: %d, Retry-After %q", got.StatusCode, got.Header.Get("Retry-After"))
	}
	if guess("192.0.2.1") != http.StatusUnauthorized {
		t.Error("another address is throttled")
	}
	for i := range 2000 {
		if guess(fmt.Sprintf("198.51.%d.%d", i/250, i%250)) == http.StatusUnauthorized {
			refused++
		}
	}
	if refused != 299 {
		t.Errorf("%d guesses from anywhere were answered 401, want 299", refused)
	}
	if got := ask("right", "2001:db8::1", "/sessions").StatusCode; got != http.StatusOK {
		t.Errorf("the right secret is answered %d behind all that", got)
	}
	if got := ask("", "2001:db8::1", "/ui/").StatusCode; got != http.StatusSeeOther {
		t.Errorf("an operator on the way to sign in is answered %d", got)
	}
	m.now = m.now.Add(time.Minute)
	if guess("2001:db8::1") != http.StatusUnauthorized {
		t.Error("after a minute it is still throttled")
	}
}

// What nobody known sends cannot fill the log: the first refusals of a minute have a line each, which is not long, and the others are counted.
func TestRefusalsDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	m, ask := guessed()
	for range 100 {
		ask("", "192.0.2.1\nforged \x1b[31m"+strings.Repeat("x", 10_000), "/ui/"+"\x1b"+strings.Repeat("y", 10_000))
		ask("wrong", "192.0.2.1\nforged \x1b[31m"+strings.Repeat("x", 10_000), "/sessions")
	}
	if lines := strings.Count(m.log.String(), "\n"); lines != 20 || m.log.Len() > 20*2000 {
		t.Errorf("200 refusals made %d lines of %d bytes", lines, m.log.Len())
	}
	if strings.ContainsAny(m.log.String(), "\x1b\r") || strings.Contains(m.log.String(), `\n`) || strings.Contains(m.log.String(), `\x1b`) {
		t.Error("a sender's control characters are in the log")
	}
	m.log.Reset()
	m.now = m.now.Add(time.Minute)
	for range 2 {
		ask("right", "192.0.2.1", "/sessions")
	}
	if log := m.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "more_refused=180") {
		t.Errorf("the log says %q, want how many were refused besides", log)
	}
}
