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
)

// hints takes "sub/sid/client" for an ID token.
type hints struct{}

func (hints) Verify(_ context.Context, token string) (sub, sid, clientID string, err error) {
	if token == "unavailable" {
		return "", "", "", hostadapter.ErrUnavailable
	}
	if token == "rotated" {
		return "", "", "", hostadapter.ErrHintUnverified
	}
	parts := strings.Split(token, "/")
	if len(parts) != 3 {
		return "", "", "", errors.New("not ours")
	}
	return parts[0], parts[1], parts[2], nil
}

func newEndSessionHost(t *testing.T) *host {
	return newHost(t, func(c *hostadapter.Config) {
		c.Hints = hints{}
		c.Clients = logout.ClientMap{
			"shop": {PostLogoutRedirectURIs: []string{"https://shop.example/bye", "https://shop.example/bye?from=op"}},
			"mail": {PostLogoutRedirectURIs: []string{"https://mail.example/bye"}},
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
		{"hint of the session", url.Values{"id_token_hint": {"ann/SID/shop"}, "post_logout_redirect_uri": {bye}, "state": {"a b&c"}},
			303, bye + "?state=a+b%26c", false, ""},
		{"hint without sid", url.Values{"id_token_hint": {"ann//shop"}, "client_id": {"shop"}, "post_logout_redirect_uri": {bye}}, 303, bye, false, ""},
		{"a URI with a query", url.Values{"id_token_hint": {"ann/SID/shop"}, "post_logout_redirect_uri": {bye + "?from=op"}, "state": {"1"}},
			303, bye + "?from=op&state=1", false, ""},
		{"hint of a key rotated out", url.Values{"id_token_hint": {"rotated"}, "post_logout_redirect_uri": {bye}}, 200, "", true, "confirm"},
		{"hint of a key rotated out, with client", url.Values{"id_token_hint": {"rotated"}, "client_id": {"shop"}, "post_logout_redirect_uri": {bye}},
			200, "", true, "confirm"},
		{"nowhere to go", url.Values{"id_token_hint": {"ann/SID/shop"}}, 200, "", false, "You are signed out"},
		{"no hint", url.Values{}, 200, "", true, "You are signed in as Ann &lt;3"},
		{"client only", url.Values{"client_id": {"shop"}, "post_logout_redirect_uri": {bye}}, 200, "", true, "Sign out?"},
		{"hint of another session", url.Values{"id_token_hint": {"ann/other/shop"}}, 200, "", true, "Sign out?"},
		{"hint of another user", url.Values{"id_token_hint": {"bob//shop"}}, 200, "", true, "Sign out?"},
		{"hint that is not ours", url.Values{"id_token_hint": {"forged"}}, 400, "", true, "not an ID token"},
		{"hint that cannot be checked", url.Values{"id_token_hint": {"unavailable"}}, 503, "", true, "try again"},
		{"client that is not the hint's", url.Values{"id_token_hint": {"ann/SID/shop"}, "client_id": {"mail"}}, 400, "", true, "another client"},
		{"URI of another client", url.Values{"id_token_hint": {"ann/SID/mail"}, "post_logout_redirect_uri": {bye}}, 400, "", true, "not registered"},
		{"URI that only begins so", url.Values{"id_token_hint": {"ann/SID/shop"}, "post_logout_redirect_uri": {bye + "/"}}, 400, "", true, "not registered"},
		{"URI without client", url.Values{"post_logout_redirect_uri": {bye}}, 400, "", true, "needs"},
		{"unknown client", url.Values{"client_id": {"nobody"}, "post_logout_redirect_uri": {bye}}, 400, "", true, "not known"},
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
					t.Errorf("%d to %q, want %d to %q", response.StatusCode, response.Header.Get("Location"), test.status, test.location)
				}
				if body := bodyOf(t, response); !strings.Contains(body, test.page) {
					t.Errorf("page %q, want %q in it", body, test.page)
				}
				if response.Header.Get("Cache-Control") != "no-store" || !strings.Contains(response.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
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
		body := bodyOf(t, b.get(url.Values{"client_id": {"shop"}, "post_logout_redirect_uri": {"https://shop.example/bye"}, "state": {"s"}}))
		found := confirmation.FindStringSubmatch(body)
		if found == nil {
			t.Fatalf("page %q asks nothing", body)
		}
		return found[1]
	}

	if got := ann.post(url.Values{"confirm": {ask(eve)}}); got.StatusCode != http.StatusBadRequest {
		t.Errorf("another session's form: %d, want 400", got.StatusCode)
	}
	ann.mustBe("ann")
	form := ask(ann)
	if got := ann.get(url.Values{"confirm": {form}}); got.StatusCode != http.StatusOK {
		t.Errorf("the form by GET: %d, want the question again", got.StatusCode)
	}
	ann.mustBe("ann")
	h.clock.advance(11 * time.Minute)
	if got := ann.post(url.Values{"confirm": {form}}); got.StatusCode != http.StatusBadRequest {
		t.Errorf("a form that was open for long: %d, want 400", got.StatusCode)
	}
	ann.mustBe("ann")
	got := ann.post(url.Values{"confirm": {ask(ann)}})
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "https://shop.example/bye?state=s" {
		t.Errorf("%d to %q, want to be sent back", got.StatusCode, got.Header.Get("Location"))
	}
	ann.mustBe("")
	eve.mustBe("eve")
}

// TestEndSessionConfirmationFromAnotherSite: a Lax cookie does not come with such a POST, but the browser heeds the answer's Set-Cookie.
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

// TestEndSessionPostFromAnotherSite: the cookie does not come with the POST, so that the browser is sent on to come back with it.
func TestEndSessionPostFromAnotherSite(t *testing.T) {
	t.Parallel()
	h := newEndSessionHost(t)
	b := h.browser()
	session := b.signIn(hostadapter.Identity{Subject: "ann"})
	cookies := b.cookies
	b.cookies = map[string]string{}
	hint := "ann/" + session.SessionID + "/shop"
	response := b.post(url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://shop.example/bye"}})
	location := response.Header.Get("Location")
	if response.StatusCode != http.StatusSeeOther || !strings.HasPrefix(location, "?") || strings.Contains(location, session.SessionID) {
		t.Fatalf("%d to %q, want to be sent on to the same path, without the token", response.StatusCode, location)
	}
	b.cookies = cookies
	query, err := url.ParseQuery(strings.TrimPrefix(location, "?"))
	if err != nil {
		t.Fatal(err)
	}
	if response = b.get(query); response.Header.Get("Location") != "https://shop.example/bye" {
		t.Errorf("%d to %q, want to be sent back to the client", response.StatusCode, response.Header.Get("Location"))
	}
	b.mustBe("")
}

func TestEndSessionWithNobodySignedIn(t *testing.T) {
	t.Parallel()
	h := newEndSessionHost(t)
	b := h.browser()
	got := b.get(url.Values{"id_token_hint": {"ann/gone/shop"}, "post_logout_redirect_uri": {"https://shop.example/bye"}, "state": {"1"}})
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "https://shop.example/bye?state=1" {
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
	if got := b.send(r, h.EndSession()); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET, POST" {
		t.Errorf("PUT: %d, Allow %q; want 405", got.StatusCode, got.Header.Get("Allow"))
	}
	r = httptest.NewRequest(http.MethodPost, "/logout", strings.NewReader(`{}`))
	r.Header.Set("Content-Type", "application/json")
	if got := b.send(r, h.EndSession()); got.StatusCode != http.StatusBadRequest {
		t.Errorf("JSON: %d, want 400", got.StatusCode)
	}
	if got := b.post(url.Values{"state": {strings.Repeat("x", 100_000)}}); got.StatusCode != http.StatusBadRequest {
		t.Errorf("a long form: %d, want 400", got.StatusCode)
	}
	b.mustBe("ann")
}
