package fositestore_test

// Pushed authorization requests, and those stored like one, with each storage that a server may compose.

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// withoutPARStorage is a host's own store that keeps no pushed requests.
type withoutPARStorage struct {
	fositestore.OwnStore
	openid.OpenIDConnectRequestStorage
	pkce.PKCERequestStorage
}

// eachStorage runs a test with each storage that a server may compose.
func eachStorage(t *testing.T, test func(t *testing.T, composed option)) {
	t.Helper()
	for name, composed := range map[string]option{
		"Store": func(*host, *fositestore.Config) {},
		"Wrap":  ownStore(wrapped),
		"Wrap, of a store without PARStorage": ownStore(func(h *host) any {
			return h.sessions.Wrap(withoutPARStorage{h.memory, h.memory, h.memory})
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, composed)
		})
	}
}

// RFC 9126, section 4: a pushed request is valid for one response. It is kept until then, however many pages
// are shown in between.
func TestPushedRequestIsKeptUntilItsAnswer(t *testing.T) {
	t.Parallel()
	eachStorage(t, testPushedRequestIsKeptUntilItsAnswer)
}

func testPushedRequestIsKeptUntilItsAnswer(t *testing.T, composed option) {
	clock := &movedClock{}
	p := newPages(t, composed, func(_ *host, c *fositestore.Config) { c.Host.Now = clock.now })
	clock.advance(-time.Hour) // fosite's own clock must not be behind
	push := func(changes ...string) url.Values {
		return url.Values{
			"client_id":   {"app"},
			"request_uri": {p.h.post("/par", authorization(changes...)).str("request_uri")},
		}
	}
	query := push()
	b := p.h.browser()
	b.asked("/auth", query)
	back := b.asked("/auth", query)
	clock.advance(7 * time.Minute) // longer than the request's lifetime, shorter than the mark's
	b.signed("ann", back).mustCode(t, "signed in")
	if r := b.at(back); r.redirect.Get("code") != "" || r.status == http.StatusOK {
		t.Errorf("again: %d %v, want it refused", r.status, r.redirect)
	}
	query = push()
	for range 2 { // the login form inside authorize
		if r := p.h.browser().get("/authorize", query); r.status != http.StatusUnauthorized {
			t.Fatalf("%d %s, want the login form", r.status, r.body)
		}
	}
	form := again(query)
	form.Set("user", "bob")
	b.get("/authorize", form).mustCode(t, "by a form")
	query = push("prompt", "none") // an error is also a response
	stranger := p.h.browser()
	if r := stranger.get("/auth", query); r.redirect.Get("error") != "login_required" {
		t.Errorf("%d %v, want login_required", r.status, r.redirect)
	}
	if r := b.get("/auth", query); r.redirect.Get("code") != "" {
		t.Error("a pushed request was valid for an error and a code")
	}
}

// A stored request of a user who takes longer than the mark lives leads on like a short one: to the login
// page again, and to the client.
func TestReturnURLAfterALongTime(t *testing.T) {
	t.Parallel()
	eachStorage(t, func(t *testing.T, composed option) {
		for name, query := range map[string]func(p *pages, request url.Values) url.Values{
			"short": func(_ *pages, request url.Values) url.Values { return request },
			"long": func(_ *pages, request url.Values) url.Values {
				request.Set("ui_locales", strings.Repeat("de ", 500))
				return request
			},
			"pushed": func(p *pages, request url.Values) url.Values {
				uri := p.h.post("/par", request).str("request_uri")
				return url.Values{"client_id": {"app"}, "request_uri": {uri}}
			},
		} {
			clock := &movedClock{}
			p := newPages(t, composed, func(_ *host, c *fositestore.Config) { c.Host.Now = clock.now })
			// Without openid fosite does not compare the times with its own clock, which is not moved.
			request := query(p, authorization("scope", "photos"))
			b := p.h.browser()
			back := b.asked("/auth", request)
			clock.advance(45 * time.Minute)
			r := b.at(back)
			r.mustAsk(t, name+", before a sign-in")
			page, _ := url.Parse(r.header.Get("Location"))
			clock.advance(14 * time.Minute)
			b.signed("ann", page.Query().Get("back")).mustCode(t, name)
		}
	})
}
