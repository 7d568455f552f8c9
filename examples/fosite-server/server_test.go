package main

import (
	"bufio"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// Two users sign in and one session is removed: its clients are notified, the other user stays signed in.
func TestSignInAndRemoval(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	photos, notes := s.provider.demo[0], s.provider.demo[1]
	ann, ben := newBrowser(t), newBrowser(t)
	ann.signIn(photos, demoUsers[0])
	ann.expect(ann.get(notes.url+"/login"), http.StatusOK, "Hello, Ann") // nothing is asked
	ben.signIn(photos, demoUsers[1])
	ann.expect(ann.get(photos.url+"/check"), http.StatusOK, "accepts the access token")
	stream := ann.stream(photos.url + "/events")

	status, found := adminCall(t, s, http.MethodGet, "/sessions?subject_id="+demoUsers[0].subject, "")
	if results, _ := found["results"].([]any); status != http.StatusOK || len(results) != 1 {
		t.Fatalf("query is %d %v, want one session", status, found)
	}
	status, removed := adminCall(t, s, http.MethodPost, "/sessions/remove",
		`{"subject_id":"`+demoUsers[0].subject+`"}`)
	if status != http.StatusOK || removed["sessions_removed"] != 1.0 ||
		removed["notifications_queued"] != 2.0 {
		t.Fatalf("removal is %d %v, want one session removed and two clients notified", status, removed)
	}
	for _, client := range []*demoClient{photos, notes} {
		testenv.Eventually(t, client.name+" says that the server signed Ann out", func() bool {
			return strings.Contains(ann.get(client.url).body, "Signed out by the server")
		})
	}
	if first, second := <-stream, <-stream; first == second {
		t.Errorf("the page was sent %q twice, want a change", first)
	}
	ben.expect(ben.get(photos.url), http.StatusOK, "Hello, Ben")
	ben.expect(ben.get(photos.url+"/check"), http.StatusOK, "accepts the access token")
	ann.expect(ann.get(s.provider.issuer), http.StatusOK, "You are not signed in")
	// The removal revoked the consent, so Ann is asked again.
	page := ann.submit(ann.get(photos.url+"/login"), "/login", "username", "ann", "password", "ann-demo")
	ann.expect(page, http.StatusOK, "asks for your permission")
}

// Ann ends the session of her other browser.
func TestMySessions(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	here, there := newBrowser(t), newBrowser(t)
	here.signIn(s.provider.demo[0], demoUsers[0])
	there.signIn(s.provider.demo[0], demoUsers[0])
	here.expect(here.get(s.provider.issuer), http.StatusOK, "See where you are signed in")
	page := here.expect(here.get(s.provider.issuer+pathAccount), http.StatusOK, "This one")
	here.expect(page, http.StatusOK, s.provider.demo[0].name)
	token := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(page.body)[1]
	if err := s.provider.sessions.Consents().Remember(t.Context(), demoUsers[0].subject, demoAsking,
		[]string{"photos"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	here.expect(here.get(s.provider.issuer+pathAccount), http.StatusOK, `action="revoke"`)
	page = here.post(s.provider.issuer+pathAccount+"revoke", "token", token, "client_id", demoAsking)
	if page.status != http.StatusOK || strings.Contains(page.body, `action="revoke"`) {
		t.Errorf("%s is %d, want the page without a consent:\n%s", page.url, page.status, page.body)
	}
	page = here.post(s.provider.issuer+pathAccount+"end-others", "token", token)
	if page.status != http.StatusOK || strings.Contains(page.body, "everywhere else") {
		t.Errorf("%s is %d, want the page with only this session:\n%s", page.url, page.status, page.body)
	}
	// it leads to the login page
	there.expect(there.get(s.provider.issuer+pathAccount), http.StatusOK, "Sign in")
	testenv.Eventually(t, "the client is notified", func() bool {
		return strings.Contains(there.get(s.provider.demo[0].url).body, "Signed out by the server")
	})
	here.expect(here.get(s.provider.demo[0].url), http.StatusOK, "Hello, Ann")
}

// stream returns the data of server-sent events.
func (b *browser) stream(address string) <-chan string {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	response, err := b.http.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { response.Body.Close() })
	events := make(chan string, 100)
	go func() {
		defer close(events)
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			if data, ok := strings.CutPrefix(scanner.Text(), "data: "); ok {
				events <- data
			}
		}
	}()
	return events
}

func TestSignOutAtAClient(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	photos, notes := s.provider.demo[0], s.provider.demo[1]
	ann := newBrowser(t)
	ann.signIn(photos, demoUsers[0])
	ann.expect(ann.get(notes.url+"/login"), http.StatusOK, "Hello, Ann")
	sid := sessionOf(t, s, demoUsers[0].subject)["session_id"]
	page := ann.expect(ann.post(photos.url+"/logout"), http.StatusOK, "You are signed out")
	frame := notes.url + "/frontchannel-logout?" + html.EscapeString(formOf("iss", s.provider.issuer, "sid",
		fmt.Sprint(sid)))
	for _, want := range []string{`<iframe src="` + frame + `"`, `id="continue" href="` + photos.url +
		`/"`, "Back to Demo Photos", "5;url=" + photos.url + "/"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page has no %s:\n%s", want, page.body)
		}
	}
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy,
		"frame-src "+notes.url+";") || !strings.Contains(policy, "style-src 'self'") {
		t.Errorf("policy is %q, want one with the frame and our style", policy)
	}
	for _, channel := range []string{"back channel", "front channel"} {
		if channel == "front channel" {
			if framed := ann.get(html.UnescapeString(frame)); framed.header.Get("X-Frame-Options") != "" ||
				framed.header.Get("Cache-Control") != "no-store" ||
				!strings.Contains(framed.header.Get("Content-Security-Policy"),
					"frame-ancestors "+s.provider.issuer) {
				t.Errorf("the frame has headers %v, want it framed by the server only and not cached",
					framed.header)
			}
		}
		testenv.Eventually(t, "the other client says so", func() bool {
			body := ann.get(notes.url).body
			return strings.Contains(body, "Signed out by the server") && strings.Contains(body, channel)
		})
	}
	ann.expect(ann.get(s.provider.issuer), http.StatusOK, "You are not signed in")
}

// sessionOf returns the only session of a user from the admin routes.
func sessionOf(t *testing.T, s *running, subject string) map[string]any {
	t.Helper()
	_, answer := adminCall(t, s, http.MethodGet, "/sessions?subject_id="+subject, "")
	list, _ := answer["results"].([]any)
	if len(list) != 1 {
		t.Fatalf("sessions %v, want one", answer)
	}
	session, _ := list[0].(map[string]any)
	return session
}

// Without a client to be shown in a frame, the browser is redirected at once.
func TestSignOutAtTheOnlyClient(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ann := newBrowser(t)
	ann.signIn(s.provider.demo[0], demoUsers[0])
	if page := ann.post(s.provider.demo[0].url + "/logout"); page.url.Scheme+"://"+page.url.Host !=
		s.provider.demo[0].url {
		t.Fatalf("the browser ended at %s, want it back at the client:\n%s", page.url, page.body)
	}
}

var confirmForm = regexp.MustCompile(`name="confirm" value="([^"]*)"`)

// A sign-out at the server asks for confirmation.
func TestSignOutAtTheServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ann := newBrowser(t)
	ann.submit(ann.get(s.provider.issuer+"/login"), "/login", "username", "ann", "password", "ann-demo")
	ann.expect(ann.get(s.provider.issuer), http.StatusOK, `href="/logout"`)
	asked := ann.expect(ann.get(s.provider.issuer+"/logout?client_id="+demoAsking), http.StatusOK,
		"Sign out?")
	if !strings.Contains(asked.body, "Demo Photos") || !strings.Contains(asked.body, "Ann Example") {
		t.Errorf("the page does not say who asks whom:\n%s", asked.body)
	}
	ann.expect(ann.get(s.provider.issuer), http.StatusOK, "Hello, Ann")
	found := confirmForm.FindStringSubmatch(asked.body)
	if found == nil {
		t.Fatalf("no form:\n%s", asked.body)
	}
	ann.expect(ann.post(s.provider.issuer+"/logout", "confirm", found[1]), http.StatusOK,
		"You are signed out")
	ann.expect(ann.get(s.provider.issuer), http.StatusOK, "You are not signed in")
	// Without a client there is no redirect.
	ann.expect(ann.get(s.provider.issuer+"/logout?post_logout_redirect_uri=https://evil.example/"),
		http.StatusOK, "You are signed out")

	// A request that is wrong has a way on.
	ann.submit(ann.get(s.provider.issuer+"/login"), "/login", "username", "ann", "password", "ann-demo")
	wrong := ann.expect(ann.get(s.provider.issuer+"/logout?id_token_hint=forged"), http.StatusBadRequest,
		"id_token_hint")
	if found = confirmForm.FindStringSubmatch(wrong.body); found == nil {
		t.Fatalf("no form:\n%s", wrong.body)
	}
	ann.expect(ann.post(s.provider.issuer+"/logout", "confirm", found[1]), http.StatusOK,
		"You are signed out")
}

func TestMaxSessionsOfTheServer(t *testing.T) {
	t.Parallel()
	for _, refuse := range []bool{false, true} {
		s := startServer(t, "-max-sessions", "1", "-session-idle", "2h", "-session-absolute", "3h",
			"-refuse-sign-in="+strconv.FormatBool(refuse))
		first, second := newBrowser(t), newBrowser(t)
		first.submit(first.get(s.provider.issuer+"/login"), "/login", "username", "ann", "password",
			"ann-demo")
		page := second.submit(second.get(s.provider.issuer+"/login"), "/login", "username", "ann", "password",
			"ann-demo")
		if refuse {
			second.expect(page, http.StatusForbidden, "as many devices as you may be")
			first.expect(first.get(s.provider.issuer), http.StatusOK, "Hello, Ann")
		} else {
			second.expect(page, http.StatusOK, "Hello, Ann")
			first.expect(first.get(s.provider.issuer), http.StatusOK, "You are not signed in")
		}
		session := sessionOf(t, s, demoUsers[0].subject)
		for field, want := range map[string]time.Duration{
			"expires": 2 * time.Hour, "ends_at": 3 * time.Hour,
		} {
			begun, _ := time.Parse(time.RFC3339Nano, fmt.Sprint(session["created"]))
			got, err := time.Parse(time.RFC3339Nano, fmt.Sprint(session[field]))
			if err != nil || got.Sub(begun) != want {
				t.Errorf("%s is %v after %v, want %v later", field, session[field], session["created"], want)
			}
		}
	}
}

func TestSignInForm(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := newBrowser(t)
	page := b.get(s.provider.demo[0].url + "/login")
	policy := page.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") ||
		!strings.Contains(policy, "form-action 'self' "+s.provider.demo[0].url) {
		t.Errorf("policy is %q, want one that lets nothing but our forms and the client through", policy)
	}
	again := b.submit(page, "/login", "username", "ann", "password", "wrong")
	b.expect(again, http.StatusUnauthorized, "User name or password is wrong.")
	stale := newBrowser(t).submit(page, "/login", "username", "ann", "password", "ann-demo")
	b.expect(stale, http.StatusOK, "Please sign in once more") // in another browser
	b.expect(b.submit(again, "/login", "username", "ann", "password", "ann-demo"), http.StatusOK,
		"asks for your permission")
	denied := b.submit(b.expect(b.get(s.provider.demo[0].url+"/login"), http.StatusOK, "asks for your"),
		"/consent", "decision", decisionDeny)
	b.expect(denied, http.StatusForbidden, "access_denied")
	b.expect(b.get(s.provider.issuer+"/login"), http.StatusOK, "Ann Example")
}

// authorizeURL is an authorization request of the trusted demo client, whose answers go to a callback that
// does not know them.
func authorizeURL(s *running, pairs ...string) string {
	d := s.provider.demo[1]
	query := formOf(append([]string{
		"client_id", d.id, "redirect_uri", d.url + "/callback", "response_type", "code", "scope", "openid",
		"state", "12345678",
	}, pairs...)...)
	return s.provider.issuer + pathAuthorize + "?" + query
}

// answerOf stops at the client's callback and returns its parameters, none if the server shows a page
// instead.
func (b *browser) answerOf(address string) url.Values {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	stop := *b.http
	stop.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := stop.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	response.Body.Close()
	target, err := response.Location()
	if err != nil {
		return url.Values{}
	}
	return target.Query()
}

func TestPrompts(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := newBrowser(t)
	if got := b.answerOf(authorizeURL(s, "prompt", "none")).Get("error"); got != "login_required" {
		t.Errorf("prompt=none of nobody is answered with %q, want login_required", got)
	}
	b.submit(b.get(s.provider.issuer+"/login"), "/login", "username", "ann", "password", "ann-demo")
	if answer := b.answerOf(authorizeURL(s, "prompt", "none")); answer.Get("code") == "" {
		t.Errorf("prompt=none of Ann is answered with %v, want a code", answer)
	}
	for _, parameters := range [][]string{{"prompt", "login"}, {"max_age", "0"}} {
		page := b.expect(b.get(authorizeURL(s, parameters...)), http.StatusOK, "Please prove once more")
		page = b.submit(page, "/login", "username", "ann", "password", "ann-demo")
		if page.url.Query().Get("code") == "" {
			t.Errorf("after a sign-in for %v the browser is at %s, want it at the client with a code",
				parameters, page.url)
		}
	}
	asking := strings.ReplaceAll(strings.ReplaceAll(authorizeURL(s, "prompt", "none"), demoTrusted,
		demoAsking),
		url.QueryEscape(s.provider.demo[1].url), url.QueryEscape(s.provider.demo[0].url))
	if got := b.answerOf(asking).Get("error"); got != "consent_required" {
		t.Errorf("prompt=none of a client without consent is answered with %q, want consent_required", got)
	}
	page := b.get(authorizeURL(s, "redirect_uri", "https://evil.example/"))
	b.expect(page, http.StatusBadRequest, "The application&#39;s request is wrong")
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	page := newBrowser(t).get(s.provider.issuer + "/.well-known/openid-configuration")
	for _, want := range []string{
		`"issuer":"` + s.provider.issuer + `"`, `"backchannel_logout_supported":true`,
		`"backchannel_logout_session_supported":true`,
		`"end_session_endpoint":"` + s.provider.issuer + `/logout"`,
		`"id_token_signing_alg_values_supported":["RS256"]`,
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("discovery has no %s: %s", want, page.body)
		}
	}
	if keys := newBrowser(t).get(s.provider.issuer + pathJWKS).body; !strings.Contains(keys,
		s.provider.secrets.signing.KeyID) || strings.Contains(keys, `"d"`) {
		t.Errorf("key set is %s, want the public key alone", keys)
	}
}

func TestAdminNeedsItsToken(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for _, header := range []string{"", "Bearer wrong", "Basic " + testToken, testToken} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			s.provider.issuer+pathAdmin+"/sessions", nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			request.Header.Set("Authorization", header)
		}
		if page := newBrowser(t).do(request); page.status != http.StatusUnauthorized {
			t.Errorf("with %q it is %d, want 401", header, page.status)
		}
	}
}

// Scripts of a client's pages may read userinfo (OpenID Connect Core 1.0, section 5.3), those of others not.
func TestUserInfoForOtherOrigins(t *testing.T) {
	t.Parallel()
	clients := writeFile(t, `[{"client_id":"spa","token_endpoint_auth_method":"none","scope":"openid",
		"redirect_uris":["https://spa.example/cb","com.example.app:/cb"]}]`)
	s := startServer(t, "-clients", clients)
	b := newBrowser(t)
	for origin, allowed := range map[string]bool{
		"https://spa.example": true, "https://evil.example": false, "http://spa.example": false,
		"null": false, "https://spa.example:444": false, "": false,
	} {
		for _, method := range []string{http.MethodOptions, http.MethodGet} {
			request, err := http.NewRequestWithContext(t.Context(), method,
				s.provider.issuer+pathUserInfo, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := http.StatusUnauthorized
			if method == http.MethodOptions {
				request.Header.Set("Access-Control-Request-Method", http.MethodGet)
				request.Header.Set("Access-Control-Request-Headers", "authorization")
				want = http.StatusNoContent
			}
			if origin != "" {
				request.Header.Set("Origin", origin)
			}
			page := b.do(request)
			got := page.header.Get("Access-Control-Allow-Origin")
			if page.status != want || (got == origin && got != "") != allowed || (!allowed && got != "") ||
				page.header.Get("Vary") != "Origin" ||
				page.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s from %q: %d %v, want %d, allowed %t", method, origin, page.status,
					page.header, want,
					allowed)
			}
			if method == http.MethodOptions && allowed &&
				page.header.Get("Access-Control-Allow-Headers") != "Authorization" {
				t.Errorf("preflight from %q: %v, want Authorization allowed", origin, page.header)
			}
		}
	}
}

// Nothing that an address answers is kept, unless it says so, and an address that does not take a method says
// which it takes.
func TestHeadersOfEveryAddress(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := newBrowser(t)
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ask := func(method, address string) *pageSeen {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b.do(request)
	}
	issuer := s.provider.issuer
	for path, allow := range map[string]string{
		"/": "GET, HEAD", "/login": "GET, HEAD, POST", "/consent": "POST", pathAuthorize: "GET, POST",
		pathToken: "POST", pathIntrospect: "POST",
		pathRevoke: "POST", pathUserInfo: "GET, POST", pathJWKS: "GET, HEAD",
		"/static/style.css": "GET, HEAD", pathEndSession: "GET, POST",
		"/.well-known/openid-configuration": "GET, HEAD", pathAdminSignIn: "GET, HEAD, POST",
		pathAdminSignOut: "POST",
		pathAdmin:        "GET, HEAD", pathAdmin + "/": "GET, HEAD", pathAdmin + "/ui": "GET, HEAD",
		pathAdmin + "/ui/static/page.js": "GET, HEAD",
		pathAdmin + "/sessions":          "GET, HEAD", pathAdmin + "/sessions/remove": "POST",
		pathAdmin + "/grants":  "GET, HEAD",
		pathAdmin + "/backend": "GET, HEAD", pathAdminPage: "GET, HEAD",
		pathAdminPage + "remove": "GET, POST, HEAD", pathAdminPage + "retry": "POST",
	} {
		got := ask(http.MethodPatch, issuer+path)
		if got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != allow ||
			got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("PATCH %s: %d, Allow %q, Cache-Control %q; want 405 with %q", path, got.status,
				got.header.Get("Allow"), got.header.Get("Cache-Control"), allow)
		}
	}
	for _, address := range []string{
		issuer + pathAdmin, issuer + pathAdmin + "/ui", issuer + pathAdminPage, issuer + pathAccount,
		strings.TrimSuffix(issuer+pathAccount, "/"), issuer + "//login", authorizeURL(s, "prompt", "none"),
		s.provider.demo[0].url + "/login", s.provider.demo[0].url + "/callback",
	} {
		got := ask(http.MethodGet, address)
		if got.status/100 == 2 || got.status == http.StatusNotFound ||
			got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("GET %s: %d, Cache-Control %q; want an answer that is not kept", address, got.status,
				got.header.Get("Cache-Control"))
		}
	}
	for _, address := range []string{issuer + "/static/", s.provider.demo[0].url + "/static/", issuer +
		pathAdmin + "/ui/static/", issuer + "/static"} {
		if got := ask(http.MethodGet, address); got.status != http.StatusNotFound ||
			strings.Contains(got.body, ".css") {
			t.Errorf("GET %s: %d %s, want no list of files", address, got.status, got.body)
		}
	}
}
