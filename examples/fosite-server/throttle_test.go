package main

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// throttled is a throttle with the clock that its tests move.
type throttled struct {
	*signInThrottle
	t   *testing.T
	now time.Time
}

func newThrottled(t *testing.T) *throttled {
	t.Helper()
	throttle, err := newSignInThrottle([]byte(strings.Repeat("s", 32)), "https://op.example")
	if err != nil {
		t.Fatal(err)
	}
	return &throttled{throttle, t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// from returns a request of a browser with those cookies.
func from(cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/login", nil)
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	return r
}

// fail has wrong passwords tried until the next has to wait, and returns how many were looked at.
func (t *throttled) fail(r *http.Request, account, address string) (looked int) {
	for range 1000 {
		if _, wait := t.try(r, account, address, t.now); wait > 0 {
			return looked
		}
		looked++
	}
	return looked
}

func (t *throttled) mayTry(r *http.Request, account, address string) bool {
	succeed, wait := t.try(r, account, address, t.now)
	if wait == 0 {
		succeed()
	}
	return wait == 0
}

func (t *throttled) signedIn(account string, cookies ...*http.Cookie) *http.Cookie {
	w := httptest.NewRecorder()
	t.remember(w, from(cookies...), account)
	return w.Result().Cookies()[0]
}

// Everybody behind a proxy has its address: who mistypes a password there keeps nobody else out.
func TestThrottleBehindOneProxy(t *testing.T) {
	t.Parallel()
	throttle := newThrottled(t)
	if looked := throttle.fail(from(), "ann", "192.0.2.1"); looked != accountAndAddress.burst {
		t.Errorf("%d guesses at Ann's password were looked at, want %d", looked, accountAndAddress.burst)
	}
	for _, account := range []string{"ben", "cleo"} {
		if !throttle.mayTry(from(), account, "192.0.2.1") {
			t.Errorf("%s is locked out by what was done to Ann's account", account)
		}
	}
	if !throttle.mayTry(from(), "ann", "192.0.2.2") {
		t.Error("Ann is locked out elsewhere too")
	}
	throttle.now = throttle.now.Add(accountAndAddress.every)
	if looked := throttle.fail(from(), "ann", "192.0.2.1"); looked != 1 {
		t.Errorf("after an interval %d more were looked at, want one", looked)
	}
}

// An account is guarded against many addresses, and an address against many accounts; a browser in which its user has signed in before is let
// through both.
func TestThrottleOfAnAttack(t *testing.T) {
	t.Parallel()
	throttle := newThrottled(t)
	anns := throttle.signedIn("ann")
	looked := 0
	for i := range 100 {
		looked += throttle.fail(from(), "ann", "192.0.2."+strconv.Itoa(i))
	}
	if looked != wholeAccount.burst {
		t.Errorf("%d guesses from many addresses were looked at, want %d", looked, wholeAccount.burst)
	}
	if throttle.mayTry(from(), "ann", "198.51.100.1") || throttle.mayTry(from(throttle.signedIn("ben")), "ann", "198.51.100.1") {
		t.Error("somebody without Ann's browser is let through")
	}
	if !throttle.mayTry(from(anns), "ann", "198.51.100.1") {
		t.Error("Ann is locked out of her own browser")
	}
	if looked := throttle.fail(from(anns), "ann", "198.51.100.1"); looked != knownBrowser.burst {
		t.Errorf("%d guesses in Ann's browser were looked at, want %d", looked, knownBrowser.burst)
	}
	looked = 0
	for i := range 1000 {
		if throttle.fail(from(), "user-"+strconv.Itoa(i), "203.0.113.1") > 0 {
			looked++
		}
	}
	if looked > wholeAddress.burst {
		t.Errorf("%d accounts were tried from one address, want at most %d", looked, wholeAddress.burst)
	}
}

func TestKnownBrowser(t *testing.T) {
	t.Parallel()
	throttle := newThrottled(t)
	cookie := throttle.signedIn("user-0")
	if !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(cookie.Name, "__Host-") {
		t.Errorf("the cookie is %v", cookie)
	}
	first := string(throttle.known(from(cookie), "user-0"))
	for i := 1; i <= 10; i++ {
		cookie = throttle.signedIn("user-"+strconv.Itoa(i), cookie)
		cookie = throttle.signedIn("user-0", cookie)
	}
	if string(throttle.known(from(cookie), "user-0")) != first || throttle.known(from(cookie), "user-10") == nil {
		t.Error("a user of the browser is forgotten, or gets a new count with each sign-in")
	}
	if strings.Count(cookie.Value, ".") != maxDeviceUsers-1 || throttle.known(from(cookie), "user-1") != nil {
		t.Errorf("the cookie grows: %s", cookie.Value)
	}
	for name, value := range map[string]string{"nothing": "", "no base64": "!.!", "too short": "AAAA", "forged": strings.Repeat("A", 43)} {
		if throttle.known(from(&http.Cookie{Name: cookie.Name, Value: value}), "user-0") != nil {
			t.Errorf("%s makes a browser known", name)
		}
	}
	if throttle.known(from(&http.Cookie{Name: cookie.Name, Value: "x"}, cookie), "user-0") == nil {
		t.Error("another cookie of the name makes the browser unknown")
	}
}

// What an attacker has remembered does not have what was done to an account forgotten.
func TestLimiterIsBounded(t *testing.T) {
	t.Parallel()
	var l limiter
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	victim := limitKey(hashOf("ann"))
	for l.take(wholeAccount, victim, now) == 0 {
	}
	for i := range maxLimited + 10_000 {
		l.take(accountAndAddress, limitKey(hashOf(strconv.Itoa(i))), now)
	}
	if len(l.full) > maxLimited {
		t.Errorf("%d are remembered, want at most %d", len(l.full), maxLimited)
	}
	if l.take(wholeAccount, victim, now) == 0 {
		t.Error("the guesses at the account are forgotten")
	}
}

func TestSignInIsThrottled(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b, stranger := newBrowser(t), newBrowser(t)
	login := func(b *browser, password string) *pageSeen {
		return b.submit(b.get(s.provider.issuer+"/login"), "/login", "username", "ann", "password", password)
	}
	b.expect(login(b, "ann-demo"), http.StatusOK, "Hello, Ann")
	for range accountAndAddress.burst {
		stranger.expect(login(stranger, "wrong"), http.StatusUnauthorized, "User name or password is wrong")
	}
	page := stranger.expect(login(stranger, "ann-demo"), http.StatusTooManyRequests, "Too many attempts")
	if seconds, err := strconv.Atoi(page.header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 31 {
		t.Errorf("Retry-After is %q", page.header.Get("Retry-After"))
	}
	b.expect(login(b, "ann-demo"), http.StatusOK, "Hello, Ann")
	ben := newBrowser(t)
	ben.expect(ben.submit(ben.get(s.provider.issuer+"/login"), "/login", "username", "ben", "password", "ben-demo"), http.StatusOK, "Hello, Ben")
}

func TestRefusedRequestsDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	log := &safeLog{}
	s := startServerLogging(t, log)
	b := newBrowser(t)
	for range 100 {
		b.expect(b.get(s.provider.issuer+pathAuthorize+"?client_id=nobody"), http.StatusUnauthorized, "wrong")
	}
	if lines := strings.Count(log.String(), "request refused"); lines < notesOfOne.burst || lines > 2*notesOfOne.burst {
		t.Errorf("100 requests without credentials made %d lines, want about %d", lines, notesOfOne.burst)
	}
}
