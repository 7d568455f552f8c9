package main

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

func TestOperatorSignsIn(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	issuer := s.provider.issuer
	operator := newBrowser(t)
	page := operator.expect(operator.get(issuer+"/admin"), http.StatusOK, "Operator sign-in")
	if page.url.Path != pathAdminSignIn {
		t.Fatalf("the operator is at %s, want the sign-in", page.url)
	}
	operator.expect(operator.post(issuer+pathAdminSignIn, "token", "wrong"), http.StatusUnauthorized,
		"This is not the admin token")
	operator.expect(operator.get(issuer+pathAdminPage), http.StatusOK, "Operator sign-in")

	page = operator.post(issuer+pathAdminSignIn, "token", testToken, "next",
		"/admin/ui/deliveries?state=pending")
	operator.expect(page, http.StatusOK, "<h1>Back-channel logout</h1>")
	if page.url.RequestURI() != "/admin/ui/deliveries?state=pending" {
		t.Errorf("the operator is at %s, want the requested page", page.url)
	}
	operator.expect(operator.get(issuer+pathAdmin+"/sessions"), http.StatusOK, `"results"`)

	// A signed-out cookie is refused.
	target, _ := url.Parse(issuer + pathAdminPage)
	kept := operator.http.Jar.Cookies(target)
	operator.expect(operator.post(issuer+pathAdminSignOut), http.StatusOK, "Operator sign-in")
	for _, left := range operator.http.Jar.Cookies(target) {
		if left.Name == s.provider.operators.cookie.name {
			t.Errorf("after the sign-out the browser has the cookie %v", left)
		}
	}
	thief := newBrowser(t)
	thief.http.Jar.SetCookies(target, kept)
	thief.expect(thief.get(issuer+pathAdmin+"/sessions"), http.StatusUnauthorized, "Unauthorized")
}

// While the store is unavailable, a signed-in operator sees the cause, and no data of users.
func TestOperatorPageDuringAnOutage(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	issuer := s.provider.issuer
	operator, stranger := newBrowser(t), newBrowser(t)
	operator.expect(operator.post(issuer+pathAdminSignIn, "token", testToken), http.StatusOK, "<h1>")
	if err := s.backend.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/ui/backend", "/ui/activity"} {
		operator.expect(operator.get(issuer+pathAdmin+path), http.StatusOK, "store is unavailable")
		stranger.expect(stranger.get(issuer+pathAdmin+path), http.StatusOK, "Operator sign-in")
	}
	operator.expect(operator.get(issuer+pathAdmin+"/backend"), http.StatusOK, `"error"`)
	for _, path := range []string{"/sessions", "/grants", "/logout/deliveries", "/ui/", "/ui/remove"} {
		operator.expect(operator.get(issuer+pathAdmin+path), http.StatusServiceUnavailable, "")
	}
	operator.expect(operator.post(issuer+pathAdmin+"/ui/swap", "backend", mainStore),
		http.StatusServiceUnavailable, "")
}

func TestOperatorCookie(t *testing.T) {
	t.Parallel()
	now := time.Now()
	known := &secrets{global: []byte("01234567890123456789012345678901"), adminToken: "right"}
	know := func(issuer string, s *secrets) *operators {
		o := newOperators(s, issuer, newTestMarks(t))
		o.now = func() time.Time { return now }
		return o
	}
	o := know("https://op.example", known)
	w := httptest.NewRecorder()
	o.cookie.set(w, "", o.issue(), operatorLifetime)
	cookie := w.Result().Cookies()[0]
	if !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteStrictMode ||
		cookie.Path != pathAdmin || cookie.MaxAge != 3600 ||
		cookie.Name != "__Secure-fosite_server_operator" || strings.Contains(cookie.Value, "right") {
		t.Errorf("the cookie is %v", cookie)
	}
	allowed := func(o *operators, value string) bool {
		r := httptest.NewRequest(http.MethodGet, pathAdminPage, nil)
		r.AddCookie(&http.Cookie{Name: o.cookie.name, Value: value})
		_, err := o.authorize(r, admin.ChangeSessions)
		return err == nil
	}
	if !allowed(o, cookie.Value) {
		t.Fatal("a valid cookie is refused")
	}
	raw, _ := base64.RawURLEncoding.DecodeString(cookie.Value)
	for i := range raw {
		forged := append([]byte(nil), raw...)
		forged[i] ^= 1
		if allowed(o, base64.RawURLEncoding.EncodeToString(forged)) {
			t.Errorf("a cookie changed at byte %d is accepted", i)
		}
	}
	for name, value := range map[string]string{"empty": "", "cut": cookie.Value[:20], "longer": cookie.Value +
		"AAAA", "no base64": "!", "all zero": strings.Repeat("A", len(cookie.Value))} {
		if allowed(o, value) {
			t.Errorf("a cookie that is %s is accepted", name)
		}
	}
	if allowed(know("https://op.example", &secrets{global: known.global, adminToken: "another"}),
		cookie.Value) {
		t.Error("the cookie is accepted after a change of the admin token")
	}
	if !allowed(know("https://op.example", known), cookie.Value) {
		t.Error("the cookie is refused after a restart")
	}
	now = now.Add(operatorLifetime)
	if allowed(o, cookie.Value) {
		t.Error("the cookie is accepted after its hour")
	}
	if plain := know("http://localhost:9000", known); plain.cookie.name != "fosite_server_operator" ||
		plain.cookie.secure {
		t.Error("over http the cookie is Secure: browsers would not keep it")
	}
}

// Guesses at the admin token do not delay other addresses, nor a browser in which an operator has signed in.
func TestOperatorAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	log := &testenv.Log{}
	s := startServerLogging(t, log, "-trusted-proxy", "127.0.0.0/8, ::1/128")
	signIn := func(b *browser, token string) *pageSeen {
		return b.post(s.provider.issuer+pathAdminSignIn, "token", token)
	}
	operator, elsewhere, attacker := newBrowser(t), newBrowser(t), newBrowser(t)
	operator.from, attacker.from, elsewhere.from = "192.0.2.1", "192.0.2.1", "192.0.2.2"
	operator.expect(signIn(operator, testToken), http.StatusOK, "<h1>")
	operator.expect(operator.post(s.provider.issuer+pathAdminSignOut), http.StatusOK, "Operator sign-in")
	failures := 0
	for failures < 1000 && signIn(attacker, "guess-at-the-secret").status == http.StatusUnauthorized {
		failures++
	}
	if failures < operatorTries.burst || failures > 2*operatorTries.burst {
		t.Errorf("%d guesses were checked, want about %d", failures, operatorTries.burst)
	}
	page := signIn(attacker, "guess-at-the-secret")
	for page.status == http.StatusUnauthorized { // one more in 3 s
		page = signIn(attacker, "guess-at-the-secret")
	}
	attacker.expect(page, http.StatusTooManyRequests, "Too many attempts")
	if page.header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	for name, b := range map[string]*browser{"a known browser": operator, "another address": elsewhere} {
		if page := signIn(b, testToken); page.status != http.StatusOK ||
			!strings.Contains(page.body, "<h1>") {
			t.Errorf("the right token in %s is answered %d", name, page.status)
		}
	}
	if status, _ := adminCall(t, s, http.MethodGet, "/sessions", ""); status != http.StatusOK {
		t.Errorf("a request with the token is answered %d, want 200", status)
	}
	if text := log.String(); !strings.Contains(text, "operator sign-in failed") ||
		strings.Contains(text, "guess-at-the-secret") || strings.Contains(text, testToken) {
		t.Errorf("the log lacks the failures, or has the wrong tokens:\n%s", text)
	}
}

// Guesses at the admin token at the metrics are bounded too. A cookie gives no access to metrics.
func TestMetricsTokenGuessesAreBounded(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-trusted-proxy", "127.0.0.0/8, ::1/128")
	read := func(from, header, value string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.provider.issuer+pathMetrics, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", from)
		r.Header.Set(header, value)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	for range 2 * operatorTries.burst { // correct tokens are not counted
		if got := read("192.0.2.1", "Authorization", "Bearer "+testToken); got != http.StatusOK {
			t.Fatalf("the admin token is answered %d", got)
		}
	}
	failures := 0
	for failures < 1000 && read("192.0.2.1", "Authorization", "Bearer wrong") == http.StatusUnauthorized {
		failures++
	}
	if failures < operatorTries.burst || failures > 2*operatorTries.burst {
		t.Errorf("%d guesses were checked, want about %d", failures, operatorTries.burst)
	}
	if got := read("192.0.2.2", "Authorization", "Bearer "+testToken); got != http.StatusOK {
		t.Errorf("the admin token from elsewhere is answered %d", got)
	}
	for range 2 * operatorTries.burst {
		if got := read("192.0.2.3", "Cookie", s.provider.operators.cookie.name+"="+
			s.provider.operators.issue()); got != http.StatusUnauthorized {
			t.Fatalf("a cookie is answered %d, want 401", got)
		}
	}
}

func TestNextPage(t *testing.T) {
	t.Parallel()
	for wanted, want := range map[string]string{
		"":                                   pathAdminPage,
		"/admin/ui/":                         "/admin/ui/",
		"/admin/ui/session?session_id=a%2Fb": "/admin/ui/session?session_id=a%2Fb",
		"https://evil.example/admin/ui/":     pathAdminPage,
		"//evil.example/admin/ui/":           pathAdminPage,
		"/admin/ui/../../logout":             pathAdminPage,
		"/admin/ui/%2e%2e/%2e%2e/logout":     pathAdminPage,
		"/logout":                            pathAdminPage,
		"javascript:alert(1)":                pathAdminPage,
		"/admin/ui/\r\nSet-Cookie: a=b":      pathAdminPage,
		`\\evil.example/admin/ui/`:           pathAdminPage,
		"/admin/ui/?display_name=x#fragment": "/admin/ui/?display_name=x",
		"http:/admin/ui/":                    pathAdminPage,
		"/admin/uianother":                   pathAdminPage,
	} {
		if got := nextPage(wanted); got != want {
			t.Errorf("%q leads to %q, want %q", wanted, got, want)
		}
	}
}

// A signed-out cookie is refused at all servers of the store, also after a restart.
func TestOperatorStaysSignedOut(t *testing.T) {
	t.Parallel()
	shared := newTestMarks(t)
	known := &secrets{global: []byte(strings.Repeat("s", 32)), adminToken: testToken}
	start := func() *operators {
		t.Helper()
		o := newOperators(known, "https://op.example", shared)
		return o
	}
	o, other := start(), start()
	request := func(cookie string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, pathAdminPage, nil)
		r.AddCookie(&http.Cookie{Name: o.cookie.name, Value: cookie})
		return r
	}
	kept, ended := o.issue(), o.issue()
	if err := o.end(t.Context(), o.validPasses(request(ended))); err != nil {
		t.Fatal(err)
	}
	for _, server := range []*operators{o, other, start()} {
		for cookie, want := range map[string]bool{kept: true, ended: false} {
			if open, err := server.open(request(cookie)); err != nil || open != want {
				t.Errorf("a cookie signs in: %t, error %v, want %t", open, err, want)
			}
		}
	}
}

// TestSeveralOperatorCookies: another server on a port of this host may have set a cookie of that name.
func TestSeveralOperatorCookies(t *testing.T) {
	t.Parallel()
	o := newOperators(&secrets{global: make([]byte, 32), adminToken: testToken}, "https://op.example",
		newTestMarks(t))
	request := func(values ...string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, pathAdminSignOut, nil)
		for _, value := range values {
			r.AddCookie(&http.Cookie{Name: o.cookie.name, Value: value})
		}
		return r
	}
	first, second, foreign := o.issue(), o.issue(), strings.Repeat("A", 75)
	for _, values := range [][]string{
		{first}, {foreign, first}, {first, foreign}, {"", "x", foreign, second},
	} {
		if _, err := o.authorize(request(values...), admin.ChangeSessions); err != nil {
			t.Errorf("a valid cookie among %d is refused: %v", len(values), err)
		}
	}
	if _, err := o.authorize(request(append(slices.Repeat([]string{foreign}, maxSignedCookies), first)...),
		admin.ChangeSessions); err == nil {
		t.Error("the number of checked cookies is not bounded")
	}
	if err := o.end(t.Context(), o.validPasses(request(second, foreign, first))); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{first, second} {
		if _, err := o.authorize(request(value), admin.ChangeSessions); err == nil {
			t.Error("a cookie is accepted after the sign-out of both")
		}
	}
}

// While the store is unavailable a sign-out fails and the browser keeps the cookie for another attempt. A
// cookie that may be signed out is refused.
func TestOperatorSignOutDuringAnOutage(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	o, issuer := s.provider.operators, s.provider.issuer
	cookie := o.issue()
	ask := func(method, path string) *pageSeen {
		b := newBrowser(t)
		b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		request, err := http.NewRequest(method, issuer+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.AddCookie(&http.Cookie{Name: o.cookie.name, Value: cookie})
		return b.do(request)
	}
	there := o.marks.grants
	o.marks.grants = closedGrants(t)
	page := ask(http.MethodPost, pathAdminSignOut)
	if page.status != http.StatusServiceUnavailable || page.header.Get("Retry-After") == "" {
		t.Errorf("a sign-out that cannot be stored is answered %d:\n%s", page.status, page.body)
	}
	if page.header.Get("Set-Cookie") != "" {
		t.Error("the browser lost the cookie for another attempt")
	}
	if page := ask(http.MethodGet, pathAdmin+"/sessions"); page.status != http.StatusServiceUnavailable {
		t.Errorf("with a cookie of unknown state: %d, want 503", page.status)
	}
	o.marks.grants = there
	if page := ask(http.MethodPost, pathAdminSignOut); page.status != http.StatusSeeOther ||
		page.header.Get("Set-Cookie") == "" {
		t.Errorf("the sign-out that can be stored is answered %d", page.status)
	}
	if page := ask(http.MethodGet, pathAdmin+"/sessions"); page.status != http.StatusUnauthorized {
		t.Errorf("with the cookie that was signed out: %d, want 401", page.status)
	}
}
