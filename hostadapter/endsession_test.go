package hostadapter_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// hints accepts "sub/sid/client" as an ID token; several clients are separated by commas.
type hints struct{}

func (hints) Verify(_ context.Context, token string) (*hostadapter.IDTokenHint, error) {
	if token == "unavailable" {
		return nil, ticketstore.ErrUnavailable
	}
	if token == "rotated" {
		return nil, hostadapter.ErrHintUnverified
	}
	parts := strings.Split(token, "/")
	if len(parts) != 3 {
		return nil, errors.New("not ours")
	}
	return &hostadapter.IDTokenHint{
		Subject: parts[0], SessionID: parts[1], Audience: strings.Split(parts[2], ","),
	}, nil
}

func newEndSessionHost(t *testing.T) *host {
	return newHost(t, func(c *hostadapter.Config) {
		c.Hints = hints{}
		c.Logout.MatchHint = func(hint string, session *hostadapter.Session) bool {
			return hint == session.SubjectID+"@op.example"
		}
		c.Clients = logout.ClientMap{
			"shop": {
				BackChannelLogoutURI: "https://127.0.0.1/logout", // which the guard refuses
				PostLogoutRedirectURIs: []string{
					"https://shop.example/bye", "https://shop.example/bye?from=op",
				},
			},
			"mail": {PostLogoutRedirectURIs: []string{"https://mail.example/bye"}},
			"bad":  {PostLogoutRedirectURIs: []string{"javascript:alert(1)"}},
			"front": {
				FrontChannelLogoutURI:  "https://front.example:8443/clear?a=b&c=%20",
				PostLogoutRedirectURIs: []string{"com.front.app:/bye"},
			},
			"frame": {FrontChannelLogoutURI: "https://frame.example/clear"},
		}
	})
}

var confirmation = regexp.MustCompile(`name="confirm" value="([^"]+)"`)

func TestEndSession(t *testing.T) {
	t.Parallel()
	const bye = "https://shop.example/bye"
	tests := []struct {
		name     string
		query    url.Values // SID stands for the session's
		status   int
		location string
		signedIn bool
		page     string
	}{
		{"hint of the session",
			url.Values{
				"id_token_hint": {"ann/SID/shop"}, "post_logout_redirect_uri": {bye}, "state": {"a b&c"},
			},
			303, bye + "?state=a+b%26c", false, ""},
		{
			"hint without sid",
			url.Values{
				"id_token_hint": {"ann//shop"}, "client_id": {"shop"}, "post_logout_redirect_uri": {bye},
			},
			303, bye, false, "",
		},
		{"a URI with a query",
			url.Values{
				"id_token_hint": {"ann/SID/shop"}, "post_logout_redirect_uri": {bye + "?from=op"},
				"state": {"1"},
			},
			303, bye + "?from=op&state=1", false, ""},
		{
			"hint of a key rotated out",
			url.Values{"id_token_hint": {"rotated"}, "post_logout_redirect_uri": {bye}}, 200, "", true,
			"confirm",
		},
		{"hint of a key rotated out, with client",
			url.Values{
				"id_token_hint": {"rotated"}, "client_id": {"shop"}, "post_logout_redirect_uri": {bye},
			},
			200, "", true, "confirm"},
		{
			"nowhere to go", url.Values{"id_token_hint": {"ann/SID/shop"}}, 200, "", false,
			"You are signed out",
		},
		{"no hint", url.Values{}, 200, "", true, "You are signed in as Ann &lt;3"},
		{
			"client only", url.Values{"client_id": {"shop"}, "post_logout_redirect_uri": {bye}}, 200, "",
			true, "Sign out?",
		},
		{
			"hint of another session", url.Values{"id_token_hint": {"ann/other/shop"}}, 200, "", true,
			"Sign out?",
		},
		{"hint of another user", url.Values{"id_token_hint": {"bob//shop"}}, 200, "", true, "Sign out?"},
		{"hint that is not ours", url.Values{"id_token_hint": {"forged"}}, 400, "", true, "not an ID token"},
		{"hint for several clients, one of them named",
			url.Values{
				"id_token_hint": {"ann/SID/mail,shop"}, "client_id": {"shop"},
				"post_logout_redirect_uri": {bye},
			},
			303, bye, false, ""},
		{
			"hint for several clients, none named", url.Values{"id_token_hint": {"ann/SID/mail,shop"}}, 200,
			"", true, "Sign out?",
		},
		{
			"hint for several clients, another named",
			url.Values{"id_token_hint": {"ann/SID/mail,shop"}, "client_id": {"x"}}, 400, "", true,
			"another client",
		},
		{
			"logout_hint of the user",
			url.Values{"id_token_hint": {"ann/SID/shop"}, "logout_hint": {"ann@op.example"}}, 200, "", false,
			"You are signed out",
		},
		{
			"logout_hint of another user",
			url.Values{"id_token_hint": {"ann/SID/shop"}, "logout_hint": {"bob@op.example"}}, 200, "", true,
			"Sign out?",
		},
		{"logout_hint alone", url.Values{"logout_hint": {"ann@op.example"}}, 200, "", true, "Sign out?"},
		{"languages", url.Values{"ui_locales": {"xx de-CH en"}}, 200, "", true, "Sign out?"},
		{
			"a parameter that is too long", url.Values{"state": {strings.Repeat("x", 20_000)}}, 400, "", true,
			"too long",
		},
		{
			"a client that is too long",
			url.Values{"client_id": {strings.Repeat("x", 5_000)}, "post_logout_redirect_uri": {bye}}, 200, "",
			true, "Sign out?",
		},
		{
			"a registered address that is a program",
			url.Values{"client_id": {"bad"}, "post_logout_redirect_uri": {"javascript:alert(1)"}}, 200, "",
			true, "Sign out?",
		},
		{
			"hint that cannot be checked", url.Values{"id_token_hint": {"unavailable"}}, 503, "", true,
			"try again",
		},
		{
			"client that is not the hint's",
			url.Values{"id_token_hint": {"ann/SID/shop"}, "client_id": {"mail"}}, 400, "", true,
			"another client",
		},
		{
			"URI of another client",
			url.Values{"id_token_hint": {"ann/SID/mail"}, "post_logout_redirect_uri": {bye}}, 200, "", false,
			"You are signed out",
		},
		{
			"URI that only begins so",
			url.Values{"id_token_hint": {"ann/SID/shop"}, "post_logout_redirect_uri": {bye + "/"}}, 200, "",
			false, "You are signed out",
		},
		{"URI without client", url.Values{"post_logout_redirect_uri": {bye}}, 200, "", true, "Sign out?"},
		{
			"unknown client", url.Values{"client_id": {"nobody"}, "post_logout_redirect_uri": {bye}}, 200, "",
			true, "Sign out?",
		},
		{"a parameter twice", url.Values{"state": {"1", "2"}}, 400, "", true, "more than once"},
		{"a forged way on", url.Values{"resume": {"AAAA"}}, 400, "", true, "try again"},
	}
	for _, test := range tests {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(test.name+" by "+method, func(t *testing.T) {
				t.Parallel()
				h := newEndSessionHost(t)
				b := h.browser()
				session := b.signIn(hostadapter.Identity{Subject: "ann", DisplayName: "Ann <3"})
				parameters := url.Values{}
				for name, values := range test.query {
					for _, value := range values {
						parameters.Add(name, strings.Replace(value, "SID", session.SessionID, 1))
					}
				}
				send := b.get
				if method == http.MethodPost {
					send = b.post
				}
				response := send(parameters)
				if response.StatusCode != test.status || response.Header.Get("Location") != test.location {
					t.Errorf("%d to %q, want %d to %q", response.StatusCode, response.Header.Get("Location"),
						test.status, test.location)
				}
				if body := bodyOf(t, response); !strings.Contains(body, test.page) {
					t.Errorf("page %q, want %q in it", body, test.page)
				}
				if response.Header.Get("Cache-Control") != "no-store" ||
					!strings.Contains(response.Header.Get("Content-Security-Policy"),
						"frame-ancestors 'none'") {
					t.Errorf("headers %v do not keep the page from caches and frames", response.Header)
				}
				if test.signedIn {
					b.mustBe("ann")
				} else {
					b.mustBe("")
				}
			})
		}
	}
}

func TestEndSessionConfirmation(t *testing.T) {
	t.Parallel()
	h := newEndSessionHost(t)
	ann, eve := h.browser(), h.browser()
	ann.signIn(hostadapter.Identity{Subject: "ann"})
	eve.signIn(hostadapter.Identity{Subject: "eve"})
	ask := func(b *browser) string {
		t.Helper()
		body := bodyOf(t,
			b.get(url.Values{
				"client_id": {"shop"}, "post_logout_redirect_uri": {"https://shop.example/bye"},
				"state": {"s"},
			}))
		found := confirmation.FindStringSubmatch(body)
		if found == nil {
			t.Fatalf("page %q asks nothing", body)
		}
		return found[1]
	}

	// A form of a different session, or an expired one, is shown again for this session, and keeps the
	// request.
	again := func(what, form string) string {
		t.Helper()
		got := ann.post(url.Values{"confirm": {form}})
		body := bodyOf(t, got)
		found := confirmation.FindStringSubmatch(body)
		if got.StatusCode != http.StatusOK || found == nil || !strings.Contains(body, "signed in as ann") {
			t.Fatalf("%s: %d, want the question for ann:\n%s", what, got.StatusCode, body)
		}
		ann.mustBe("ann")
		return found[1]
	}
	again("another session's form", ask(eve))
	form := ask(ann)
	if got := ann.get(url.Values{"confirm": {form}}); got.StatusCode != http.StatusOK {
		t.Errorf("the form by GET: %d, want the question again", got.StatusCode)
	}
	ann.mustBe("ann")
	h.clock.advance(11 * time.Minute)
	got := ann.post(url.Values{"confirm": {again("a form that was open for long", form)}})
	if got.StatusCode != http.StatusSeeOther ||
		got.Header.Get("Location") != "https://shop.example/bye?state=s" {
		t.Errorf("%d to %q, want to be sent back", got.StatusCode, got.Header.Get("Location"))
	}
	ann.mustBe("")
	eve.mustBe("eve")
	if got := eve.post(url.Values{"confirm": {"x"}}); got.StatusCode != http.StatusSeeOther ||
		got.Header.Get("Location") != "?" {
		t.Errorf("a form that is none: %d to %q, want to be led on", got.StatusCode,
			got.Header.Get("Location"))
	}
	eve.mustBe("eve")
}

// TestEndSessionConfirmationFromAnotherSite: such a POST comes without the Lax cookie, but the browser stores
// the response's Set-Cookie.
func TestEndSessionConfirmationFromAnotherSite(t *testing.T) {
	t.Parallel()
	h := newEndSessionHost(t)
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	cookies := b.cookies
	b.cookies = map[string]string{}
	got := b.post(url.Values{"confirm": {"x"}})
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "?" {
		t.Errorf("%d to %q, want to be sent to the bare path", got.StatusCode, got.Header.Get("Location"))
	}
	if lines := got.Header["Set-Cookie"]; len(lines) != 0 {
		t.Errorf("cookies %q, want the user's left alone", lines)
	}
	b.cookies = cookies
	if body := bodyOf(t, b.get(nil)); !strings.Contains(body, "Sign out?") {
		t.Errorf("page %q after it, want the question", body)
	}
	b.mustBe("ann")
}

// TestEndSessionPostFromAnotherSite: the POST comes without the cookie, so the browser is redirected to send
// it.
func TestEndSessionPostFromAnotherSite(t *testing.T) {
	t.Parallel()
	h := newEndSessionHost(t)
	b := h.browser()
	session := b.signIn(hostadapter.Identity{Subject: "ann"})
	cookies := b.cookies
	b.cookies = map[string]string{}
	hint := "ann/" + session.SessionID + "/shop"
	response := b.post(url.Values{
		"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://shop.example/bye"},
	})
	location := response.Header.Get("Location")
	if response.StatusCode != http.StatusSeeOther || !strings.HasPrefix(location, "?") ||
		strings.Contains(location, session.SessionID) {
		t.Fatalf("%d to %q, want to be sent on to the same path, without the token", response.StatusCode,
			location)
	}
	b.cookies = cookies
	query, err := url.ParseQuery(strings.TrimPrefix(location, "?"))
	if err != nil {
		t.Fatal(err)
	}
	if response = b.get(query); response.Header.Get("Location") != "https://shop.example/bye" {
		t.Errorf("%d to %q, want to be sent back to the client", response.StatusCode,
			response.Header.Get("Location"))
	}
	b.mustBe("")
}

func TestEndSessionWithNobodySignedIn(t *testing.T) {
	t.Parallel()
	h := newEndSessionHost(t)
	b := h.browser()
	got := b.get(url.Values{
		"id_token_hint": {"ann/gone/shop"}, "post_logout_redirect_uri": {"https://shop.example/bye"},
		"state": {"1"},
	})
	if got.StatusCode != http.StatusSeeOther ||
		got.Header.Get("Location") != "https://shop.example/bye?state=1" {
		t.Errorf("%d to %q, want to be sent back", got.StatusCode, got.Header.Get("Location"))
	}
	if got := b.get(nil); got.StatusCode != http.StatusOK {
		t.Errorf("%d, want a page", got.StatusCode)
	}
}

func TestEndSessionFails(t *testing.T) {
	t.Parallel()
	h := newEndSessionHost(t)
	b := h.browser()
	session := b.signIn(hostadapter.Identity{Subject: "ann"})
	h.backend.fail("End", unavailable, unavailable, unavailable, unavailable)
	got := b.get(url.Values{"id_token_hint": {"ann/" + session.SessionID + "/shop"}})
	if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("store is lost: %d, want 503 with Retry-After", got.StatusCode)
	}
	b.mustBe("ann")

	r := httptest.NewRequest(http.MethodPut, "/logout", nil)
	if got := b.send(r, h.EndSession()); got.StatusCode != http.StatusMethodNotAllowed ||
		got.Header.Get("Allow") != "GET, POST" {
		t.Errorf("PUT: %d, Allow %q; want 405", got.StatusCode, got.Header.Get("Allow"))
	}
	r = httptest.NewRequest(http.MethodPost, "/logout", strings.NewReader(`{}`))
	r.Header.Set("Content-Type", "application/json")
	if got := b.send(r, h.EndSession()); got.StatusCode != http.StatusBadRequest {
		t.Errorf("JSON: %d, want 400", got.StatusCode)
	}
	if got := b.post(url.Values{
		"state": {strings.Repeat("x", 100_000)},
	}); got.StatusCode != http.StatusBadRequest {
		t.Errorf("a long form: %d, want 400", got.StatusCode)
	}
	b.mustBe("ann")
}

// TestEndSessionWithoutItsCookie: a browser may withhold a Strict cookie even from the GET that follows. The
// session is found by the hint.
func TestEndSessionWithoutItsCookie(t *testing.T) {
	t.Parallel()
	const bye = "https://shop.example/bye"
	for name, test := range map[string]struct {
		hint   string // SID stands for the session's
		signed bool   // still signed in afterwards
	}{
		"hint of the session": {"ann/SID/shop", false}, "another user's name": {"bob/SID/shop", true},
		"no sid":                   {"ann//shop", true},
		"a sid of nobody":          {"ann/x/shop", true},
		"a sid that cannot be one": {"ann/" + strings.Repeat("x", 600) + "/shop", true},
		"no hint":                  {"", true},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(name+" by "+method, func(t *testing.T) {
				t.Parallel()
				h := newEndSessionHost(t)
				b, strict := h.browser(), h.browser()
				session := b.signIn(hostadapter.Identity{Subject: "ann"})
				h.use(session.SessionID, "shop")
				parameters := url.Values{"client_id": {"shop"}, "post_logout_redirect_uri": {bye}}
				if test.hint != "" {
					parameters.Set("id_token_hint", strings.Replace(test.hint, "SID", session.SessionID, 1))
				}
				var response *http.Response
				if method == http.MethodGet {
					response = strict.get(parameters)
				} else {
					on, err := url.Parse(strict.post(parameters).Header.Get("Location"))
					if err != nil {
						t.Fatal(err)
					}
					response = strict.get(on.Query())
				}
				if response.StatusCode != http.StatusSeeOther || response.Header.Get("Location") != bye {
					t.Errorf("%d to %q, want to be sent back", response.StatusCode,
						response.Header.Get("Location"))
				}
				if lines := response.Header["Set-Cookie"]; len(lines) != 0 {
					t.Errorf("cookies %q, want one that was not seen left alone", lines)
				}
				if test.signed {
					b.mustBe("ann")
					return
				}
				b.mustBe("")
				if notifications := h.notifications(); len(notifications) != 1 ||
					notifications[0].Reason != logout.UserLogout {
					t.Errorf("notifications %+v, want one of user_logout", notifications)
				}
			})
		}
	}
}

// TestEndSessionOfAnExpiredSession: it ends with reason session_expiration.
func TestEndSessionOfAnExpiredSession(t *testing.T) {
	t.Parallel()
	h := newEndSessionHost(t)
	b := h.browser()
	session := b.signIn(hostadapter.Identity{Subject: "ann"})
	h.use(session.SessionID, "shop")
	h.clock.advance(hostadapter.DefaultIdleTimeout)
	h.browser().get(url.Values{"id_token_hint": {"ann/" + session.SessionID + "/shop"}})
	if notifications := h.notifications(); len(notifications) != 1 ||
		notifications[0].Reason != logout.SessionExpiration {
		t.Errorf("notifications %+v, want one of session_expiration", notifications)
	}
}

// TestSignOutThatFailsIsBoundedInTheLog: any site can send a browser to the end-session endpoint.
func TestSignOutThatFailsIsBoundedInTheLog(t *testing.T) {
	t.Parallel()
	h := newEndSessionHost(t)
	const line = "sign-out failed"
	for range 20 {
		if response := h.browser().get(url.Values{
			"id_token_hint": {"unavailable"},
		}); response.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("status %d, want 503", response.StatusCode)
		}
	}
	if n := strings.Count(h.log.String(), line); n != 1 {
		t.Errorf("20 sign-outs that failed left %d lines in the log, want 1", n)
	}
	h.clock.advance(time.Second)
	h.browser().get(url.Values{"id_token_hint": {"unavailable"}})
	if log := h.log.String(); strings.Count(log, line) != 2 || !strings.Contains(log, "lines_suppressed=19") {
		t.Errorf("a second later the log is %q, want another line that counts what was left out", log)
	}
}
