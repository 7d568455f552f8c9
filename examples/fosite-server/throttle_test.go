package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// throttled is a throttle with a clock that tests set.
type throttled struct {
	*signInThrottle
	t   *testing.T
	now time.Time
}

func newThrottled(t *testing.T) *throttled {
	t.Helper()
	throttle := newSignInThrottle([]byte(strings.Repeat("s", 32)), "https://op.example",
		newTestMarks(t))
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

// fail tries wrong passwords until the next one has to wait, and returns how many were checked.
func (t *throttled) fail(r *http.Request, account, address string) (looked int) {
	for range 1000 {
		_, wait, err := t.try(r, account, address, t.now)
		if err != nil {
			t.t.Fatal(err)
		}
		if wait > 0 {
			return looked
		}
		looked++
	}
	return looked
}

func (t *throttled) mayTry(r *http.Request, account, address string) bool {
	succeed, wait, err := t.try(r, account, address, t.now)
	if err == nil && wait == 0 {
		err = succeed()
	}
	if err != nil {
		t.t.Fatal(err)
	}
	return wait == 0
}

func (t *throttled) signedIn(account string, cookies ...*http.Cookie) *http.Cookie {
	w := httptest.NewRecorder()
	t.remember(w, from(cookies...), account)
	return w.Result().Cookies()[0]
}

// All users behind a proxy have its address: wrong passwords of one user do not lock out others.
func TestThrottleBehindOneProxy(t *testing.T) {
	t.Parallel()
	throttle := newThrottled(t)
	if looked := throttle.fail(from(), "ann", "192.0.2.1"); looked != accountAndAddress.burst {
		t.Errorf("%d guesses at Ann's password were checked, want %d", looked, accountAndAddress.burst)
	}
	for _, account := range []string{"ben", "cleo"} {
		if !throttle.mayTry(from(), account, "192.0.2.1") {
			t.Errorf("guesses at Ann's account lock out %s", account)
		}
	}
	if !throttle.mayTry(from(), "ann", "192.0.2.2") {
		t.Error("Ann is locked out at another address")
	}
	throttle.now = throttle.now.Add(accountAndAddress.every)
	if looked := throttle.fail(from(), "ann", "192.0.2.1"); looked != 1 {
		t.Errorf("after an interval %d more were checked, want one", looked)
	}
}

// Beyond the bounds of an account and of an address only first tries are allowed. A browser in which the
// user has signed in has its own count.
func TestThrottleOfAnAttack(t *testing.T) {
	t.Parallel()
	throttle := newThrottled(t)
	anns := throttle.signedIn("ann")
	looked := 0
	for i := range 100 {
		looked += throttle.fail(from(), "ann", "192.0.2."+strconv.Itoa(i))
	}
	alone := wholeAccount.burst / accountAndAddress.burst
	if want := wholeAccount.burst + (100-alone)*firstTries.burst; looked != want {
		t.Errorf("%d guesses from 100 addresses were checked, want %d", looked, want)
	}
	if throttle.mayTry(from(), "ann", "192.0.2.50") ||
		throttle.mayTry(from(throttle.signedIn("ben")), "ann", "192.0.2.50") {
		t.Error("an attempt in another browser at an address of the guesses is allowed")
	}
	if !throttle.mayTry(from(), "ann", "198.51.100.1") {
		t.Error("Ann is locked out in a new browser at another address")
	}
	if !throttle.mayTry(from(anns), "ann", "198.51.100.1") {
		t.Error("Ann is locked out in her own browser")
	}
	if looked := throttle.fail(from(anns), "ann", "198.51.100.1"); looked != knownBrowser.burst {
		t.Errorf("%d guesses in Ann's browser were checked, want %d", looked, knownBrowser.burst)
	}
	looked = 0
	for i := range 1000 {
		looked += throttle.fail(from(), "user-"+strconv.Itoa(i), "203.0.113.1")
	}
	alone = wholeAddress.burst / accountAndAddress.burst
	if want := wholeAddress.burst + (1000-alone)*firstTries.burst; looked != want {
		t.Errorf("%d guesses at 1,000 accounts from one address were checked, want %d", looked, want)
	}
}

func TestKnownBrowser(t *testing.T) {
	t.Parallel()
	throttle := newThrottled(t)
	cookie := throttle.signedIn("user-0")
	if !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode ||
		!strings.HasPrefix(cookie.Name, "__Host-") {
		t.Errorf("the cookie is %v", cookie)
	}
	first := throttle.known(from(cookie), "user-0")
	for i := 1; i <= 10; i++ {
		cookie = throttle.signedIn("user-"+strconv.Itoa(i), cookie)
		cookie = throttle.signedIn("user-0", cookie)
	}
	if throttle.known(from(cookie), "user-0") != first ||
		throttle.known(from(cookie), "user-10") == "" {
		t.Error("a user of the browser is lost, or gets a new count with each sign-in")
	}
	if len(throttle.passes(from(cookie))[0].Users) != maxBrowserUsers ||
		throttle.known(from(cookie), "user-1") != "" {
		t.Errorf("the cookie grows: %s", cookie.Value)
	}
	for name, value := range map[string]string{
		"nothing": "", "no base64": "!.!", "too short": "AAAA", "forged": strings.Repeat("A", 43),
	} {
		if throttle.known(from(&http.Cookie{Name: cookie.Name, Value: value}), "user-0") != "" {
			t.Errorf("%s makes a browser known", name)
		}
	}
	if throttle.known(from(&http.Cookie{Name: cookie.Name, Value: "x"}, cookie), "user-0") == "" {
		t.Error("another cookie of the name makes the browser unknown")
	}
}

// Guesses at other accounts do not evict the count of an account.
func TestLimiterIsBounded(t *testing.T) {
	t.Parallel()
	var l limiter
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	victim := limitKey(hashOf("ann"))
	for taken := true; taken; {
		_, wait := l.take(wholeAccount, victim, now)
		taken = wait == 0
	}
	for i := range maxLimited + 10_000 {
		l.take(accountAndAddress, limitKey(hashOf(strconv.Itoa(i))), now)
	}
	if len(l.full) > maxLimited {
		t.Errorf("%d entries, want at most %d", len(l.full), maxLimited)
	}
	if _, wait := l.take(wholeAccount, victim, now); wait == 0 {
		t.Error("the count of the account was evicted")
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
	if seconds, err := strconv.Atoi(page.header.Get("Retry-After")); err != nil || seconds < 1 ||
		seconds > 31 {
		t.Errorf("Retry-After is %q", page.header.Get("Retry-After"))
	}
	b.expect(login(b, "ann-demo"), http.StatusOK, "Hello, Ann")
	ben := newBrowser(t)
	ben.expect(ben.submit(ben.get(s.provider.issuer+"/login"), "/login", "username", "ben", "password",
		"ben-demo"), http.StatusOK, "Hello, Ben")
}

func TestRefusedRequestsLogIsBounded(t *testing.T) {
	t.Parallel()
	log := &testenv.Log{}
	s := startServerLogging(t, log)
	b := newBrowser(t)
	for range 100 {
		b.expect(b.get(s.provider.issuer+pathAuthorize+"?client_id=nobody"), http.StatusBadRequest, "wrong")
	}
	if lines := strings.Count(log.String(), "request refused"); lines < notesOfOne.burst ||
		lines > 2*notesOfOne.burst {
		t.Errorf("100 requests without credentials made %d lines, want about %d", lines, notesOfOne.burst)
	}
}

// Guesses at many accounts from behind the same proxy do not lock out other users, and the answers do not
// reveal which accounts exist.
func TestFirstTriesBehindABusyProxy(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	issuer := s.provider.issuer
	login := func(b *browser, page *pageSeen, username, password string) *pageSeen {
		return b.submit(page, "/login", "username", username, "password", password)
	}
	attacker, ben := newBrowser(t), newBrowser(t)
	page := attacker.get(issuer + "/login")
	for i := range 200 {
		attacker.expect(login(attacker, page, "user-"+strconv.Itoa(i), "wrong"), http.StatusUnauthorized,
			"is wrong")
	}
	for _, account := range []string{"ann", "nobody"} {
		var answers []int
		for len(answers) < accountAndAddress.burst+1 &&
			!slices.Contains(answers, http.StatusTooManyRequests) {
			answers = append(answers, login(attacker, page, account, "wrong").status)
		}
		last := len(answers) - 1
		if last < firstTries.burst || answers[0] != http.StatusUnauthorized ||
			answers[last] != http.StatusTooManyRequests {
			t.Errorf("guesses at %s are answered %v, want the first checked and the last refused", account,
				answers)
		}
	}
	ben.expect(login(ben, ben.get(issuer+"/login"), "ben", "mistyped"), http.StatusUnauthorized, "is wrong")
	ben.expect(login(ben, ben.get(issuer+"/login"), "ben", "ben-demo"), http.StatusOK, "Hello, Ben")
}

// An attack on an account locks out its user at other addresses only if it comes from hundreds of networks.
func TestFirstTriesOfAnAttackedUser(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-trusted-proxy", "127.0.0.0/8, ::1/128")
	attempt := func(from, password string) *pageSeen {
		b := newBrowser(t)
		b.from = from
		return b.submit(b.get(s.provider.issuer+"/login"), "/login", "username", "ann", "password", password)
	}
	for i := range 50 {
		from := "203.0.113." + strconv.Itoa(i)
		for status := http.StatusUnauthorized; status == http.StatusUnauthorized; {
			status = attempt(from, "wrong").status
		}
	}
	if page := attempt("198.51.100.7", "ann-demo"); page.status != http.StatusOK ||
		!strings.Contains(page.body, "Hello, Ann") {
		t.Errorf("Ann in a new browser at another address is answered %d", page.status)
	}
	throttle := newThrottled(t)
	looked := 0
	for i := range 2000 {
		looked += throttle.fail(from(), "ann", "10.0."+strconv.Itoa(i/250)+"."+strconv.Itoa(i%250))
	}
	if want := wholeAccount.burst + strangers.burst; looked != want {
		t.Errorf("%d guesses from 2,000 addresses were checked, want %d", looked, want)
	}
}

func TestRemoteAddr(t *testing.T) {
	t.Parallel()
	o, err := parseOptions([]string{"-trusted-proxy", "10.0.0.0/8,2001:db8:1::/48"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"no proxy":                     {"192.0.2.1:1", nil, "192.0.2.1"},
		"a sender that is not a proxy": {"192.0.2.1:1", []string{"198.51.100.1"}, "192.0.2.1"},
		"a proxy":                      {"10.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1"},
		"two proxies": {
			"10.0.0.1:1", []string{"198.51.100.1, 192.0.2.1", "[2001:db8:1::2]:443"}, "192.0.2.1",
		},
		"a mapped address":           {"[::ffff:10.0.0.1]:1", []string{"192.0.2.1:80"}, "192.0.2.1"},
		"a proxy without the header": {"10.0.0.1:1", nil, "10.0.0.1"},
		"a malformed address":        {"10.0.0.1:1", []string{"192.0.2.1, unknown"}, "10.0.0.1"},
		"only proxies":               {"10.0.0.1:1", []string{"10.0.0.3,10.0.0.2"}, "10.0.0.3"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		for _, value := range c.forwarded {
			r.Header.Add("X-Forwarded-For", value)
		}
		if got := o.remoteAddr(r); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
