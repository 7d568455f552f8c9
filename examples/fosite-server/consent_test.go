package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// The consent page is shown once for the same scopes, and again after a removal that revokes consents.
func TestConsentIsRemembered(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	photos, b := s.provider.demo[0], newBrowser(t)
	ask := func(scope string) string {
		request := strings.ReplaceAll(authorizeURL(s, "scope", scope),
			url.QueryEscape(s.provider.demo[1].url), url.QueryEscape(photos.url))
		return strings.ReplaceAll(request, demoTrusted, demoAsking)
	}
	mustSkip := func(scope string) {
		t.Helper()
		if answer := b.answerOf(ask(scope)); answer.Get("code") == "" {
			t.Errorf("scope %q is answered with %v, want a code", scope, answer)
		}
	}
	remove := func(body string) {
		t.Helper()
		if status, answer := adminCall(t, s, http.MethodPost, "/sessions/remove",
			body); status != http.StatusOK {
			t.Fatalf("removal is %d %v", status, answer)
		}
	}
	signIn := func() {
		t.Helper()
		b.expect(b.submit(b.get(s.provider.issuer+"/login"), "/login", "username", "ann", "password",
			"ann-demo"), http.StatusOK, "Ann Example")
	}
	signIn()
	page := b.expect(b.get(ask("openid email")), http.StatusOK, "asks for your permission")
	b.submit(page, "/consent", "decision", decisionAllow)
	for _, scope := range []string{"openid email", "openid", "email openid"} {
		mustSkip(scope)
	}
	page = b.expect(b.get(ask("openid profile")), http.StatusOK, "asks for your permission")
	b.submit(page, "/consent", "decision", decisionDeny)
	// a denial is not remembered
	b.expect(b.get(ask("openid profile")), http.StatusOK, "asks for your permission")

	subject := `{"subject_id":"` + demoUsers[0].subject + `"`
	remove(subject + `,"revoke_consents":false}`)
	signIn()
	mustSkip("openid email")
	remove(subject + `}`)
	signIn()
	b.expect(b.get(ask("openid")), http.StatusOK, "asks for your permission")
}

// A consent page is valid once, for its user and scopes. If these have changed, it is shown again.
func TestConsentIsBoundToWhatItShowed(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p, photos := s.provider, s.provider.demo[0]
	asks := func(pairs ...string) string {
		request := authorizeURL(s,
			append([]string{"redirect_uri", photos.url + "/callback", "client_id", demoAsking}, pairs...)...)
		return request
	}
	signIn := func(b *browser, user demoUser) {
		t.Helper()
		b.expect(b.submit(b.get(p.issuer+"/login"), "/login", "username", user.Username, "password",
			user.Password), http.StatusOK, "Hello, "+user.name)
	}
	given := func(user demoUser) bool {
		t.Helper()
		yes, err := p.sessions.Consents().Given(t.Context(), user.subject, demoAsking, []string{"openid"})
		if err != nil {
			t.Fatal(err)
		}
		return yes
	}
	ann, ben := demoUsers[0], demoUsers[1]

	t.Run("of another user", func(t *testing.T) {
		b := newBrowser(t)
		signIn(b, ann)
		page := b.expect(b.get(asks()), http.StatusOK, ann.name)
		signIn(b, ben) // in another tab
		shown := b.expect(b.submit(page, "/consent", "decision", decisionAllow), http.StatusOK,
			"Nothing was granted")
		if !strings.Contains(shown.body, ben.name) || strings.Contains(shown.body, ann.name) || given(ben) ||
			given(ann) {
			t.Errorf("Ann's page was accepted for Ben, or not shown again:\n%s", shown.body)
		}
		if target := b.submit(shown, "/consent", "decision",
			decisionAllow).url; target.Query().Get("code") == "" || !given(ben) || given(ann) {
			t.Errorf("Ben's own page leads to %s, want it to grant", target)
		}
		// Also if Ben has granted it before: the page was Ann's.
		signIn(b, ann)
		page = b.get(asks())
		signIn(b, ben)
		b.expect(b.submit(page, "/consent", "decision", decisionAllow), http.StatusOK, "Nothing was granted")
	})
	t.Run("signed out", func(t *testing.T) {
		b := newBrowser(t)
		signIn(b, ann)
		page := b.expect(b.get(asks()), http.StatusOK, ann.name)
		if _, err := p.sessions.RemoveSessions(t.Context(),
			hostadapter.SessionRemoval{SubjectID: ann.subject}); err != nil {
			t.Fatal(err)
		}
		b.expect(b.submit(page, "/consent", "decision", decisionAllow), http.StatusOK, "<h1>Sign in</h1>")
	})
	t.Run("once", func(t *testing.T) {
		b := newBrowser(t)
		signIn(b, ann)
		page := b.expect(b.get(asks("prompt", "consent")), http.StatusOK, ann.name)
		if target := b.submit(page, "/consent", "decision",
			decisionAllow).url; target.Query().Get("code") == "" {
			t.Fatalf("the page leads to %s, want a code", target)
		}
		b.expect(b.submit(page, "/consent", "decision", decisionAllow), http.StatusOK,
			"asks for your permission")
	})
	t.Run("denial", func(t *testing.T) {
		b := newBrowser(t)
		signIn(b, ann)
		page := b.expect(b.get(asks("prompt", "consent")), http.StatusOK, ann.name)
		denied := func(when string) {
			t.Helper()
			if query := b.submit(page, "/consent", "decision",
				decisionDeny).url.Query(); query.Get("error") != "access_denied" || query.Has("code") {
				t.Errorf("a denial %s leads to %v, want access_denied", when, query)
			}
		}
		if target := b.submit(page, "/consent", "decision",
			decisionAllow).url; target.Query().Get("code") == "" {
			t.Fatalf("the page leads to %s, want a code", target)
		}
		denied("after a yes on the same page")
		page = b.expect(b.get(strings.Replace(asks(), "scope=openid", "scope=openid+email", 1)),
			http.StatusOK, "asks for your permission")
		denied("on a page of its own")
		denied("again")
		// it was answered
		b.expect(b.submit(page, "/consent", "decision", decisionAllow), http.StatusOK,
			"asks for your permission")
		signIn(b, ben)
		denied("on the page of another user")
		if _, err := p.sessions.RemoveSessions(t.Context(),
			hostadapter.SessionRemoval{SubjectID: ben.subject}); err != nil {
			t.Fatal(err)
		}
		denied("signed out")
	})
	t.Run("other purpose", func(t *testing.T) {
		b := newBrowser(t)
		page := b.expect(b.get(asks("prompt", "consent")), http.StatusOK, "<h1>Sign in</h1>")
		signIn(b, ann)
		b.expect(b.submit(page, "/consent", "decision", decisionAllow), http.StatusOK, "Nothing was granted")
	})
	t.Run("malformed form", func(t *testing.T) {
		b := newBrowser(t)
		b.expect(b.post(p.issuer+"/consent", "form", "x", "decision", decisionAllow), http.StatusOK,
			"You are not signed in")
		b.expect(b.post(p.issuer+"/login", "form", "x", "username", "ann", "password", "ann-demo"),
			http.StatusOK, "<h1>Sign in</h1>")
	})
}

// A browser with two open sign-in pages can sign in at either.
func TestSignInBegunInTwoTabs(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b, other := newBrowser(t), newBrowser(t)
	// Both pages are requested before an answer with its cookie.
	first, second := b.get(authorizeURL(s)), other.get(authorizeURL(s, "state", "abcdefgh"))
	address, _ := url.Parse(s.provider.issuer)
	b.http.Jar.SetCookies(address, other.http.Jar.Cookies(address))
	for page, state := range map[*pageSeen]string{first: "12345678", second: "abcdefgh"} {
		done := b.submit(page, "/login", "username", "ann", "password", "ann-demo")
		if query := done.url.Query(); query.Get("code") == "" || query.Get("state") != state {
			t.Errorf("signing in leads to %s, want a code with state %s", done.url, state)
		}
	}
}
