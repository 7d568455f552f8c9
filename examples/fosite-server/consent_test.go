package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The consent page is shown once for what it asks, and again after a removal that revokes consents.
func TestConsentIsRemembered(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	photos, b := s.provider.demo[0], newBrowser(t)
	ask := func(scope string) string {
		request := strings.ReplaceAll(authorizeURL(s, "scope", scope), url.QueryEscape(s.provider.demo[1].url), url.QueryEscape(photos.url))
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
		if status, answer := adminCall(t, s, http.MethodPost, "/sessions/remove", body); status != http.StatusOK {
			t.Fatalf("removal is %d %v", status, answer)
		}
	}
	signIn := func() {
		t.Helper()
		b.expect(b.submit(b.get(s.provider.issuer+"/login"), "/login", "username", "ann", "password", "ann-demo"), http.StatusOK, "Ann Example")
	}
	signIn()
	page := b.expect(b.get(ask("openid email")), http.StatusOK, "asks for your permission")
	b.submit(page, "/consent", "decision", decisionAllow)
	for _, scope := range []string{"openid email", "openid", "email openid"} {
		mustSkip(scope)
	}
	page = b.expect(b.get(ask("openid profile")), http.StatusOK, "asks for your permission")
	b.submit(page, "/consent", "decision", decisionDeny)
	b.expect(b.get(ask("openid profile")), http.StatusOK, "asks for your permission") // a no is not remembered

	subject := `{"subject_id":"` + demoUsers[0].subject + `"`
	remove(subject + `,"revoke_consents":false}`)
	signIn()
	mustSkip("openid email")
	remove(subject + `}`)
	signIn()
	b.expect(b.get(ask("openid")), http.StatusOK, "asks for your permission")
}
