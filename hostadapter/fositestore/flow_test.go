package fositestore_test

// The flows of OpenID Connect, bound to the session.

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// claims returns the claims of a JWT, unverified.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("want a JWT, got %q", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// sid returns the sid of the subject's only session.
func (h *host) sid(subject string) string {
	h.t.Helper()
	page, err := h.sessions.QuerySessions(h.t.Context(),
		ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{SubjectID: subject}})
	if err != nil || len(page.Sessions) != 1 {
		h.t.Fatalf("want one session of %s, got %v, %v", subject, page, err)
	}
	return page.Sessions[0].SessionID
}

func TestIDTokenIsBoundToTheSession(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, r := h.tokens("ann")
	want := h.sid("ann")
	first := claims(t, r.str("id_token"))
	again := claims(t, h.refresh(r.str("refresh_token")).str("id_token"))
	for name, c := range map[string]map[string]any{"code exchange": first, "refresh": again} {
		if c["sid"] != want || c["sub"] != "ann" || c["iss"] != issuer || c["acr"] != "1" ||
			c["auth_time"] == nil || c["amr"] == nil {
			t.Errorf("ID token of the %s: want iss, sub, sid %q, auth_time, acr and amr of the "+
				"session, got %v", name, want, c)
		}
	}
	if first["nonce"] != nonce {
		t.Errorf("want the nonce, got %v", first["nonce"])
	}
}

func TestClientsOfTheSession(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b, _ := h.tokens("ann")
	h.exchange(b.code("client_id", "other"), "as", "other").must(t, http.StatusOK, "")
	page, err := h.sessions.QuerySessions(t.Context(), ticketstore.SessionQuery{})
	if err != nil || len(page.Sessions) != 1 || len(page.Sessions[0].Clients) != 2 {
		t.Fatalf("want one session used by two clients, got %+v, %v", page, err)
	}
}

func TestEveryResponseTypeUsesTheSession(t *testing.T) {
	t.Parallel()
	for _, responseType := range append([]string{"code"}, frontResponseTypes...) {
		t.Run(responseType, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			b := h.browser().signIn("ann")
			h.backend.counts()
			r := b.get("/authorize", authorization("response_type", responseType))
			if r.status != http.StatusSeeOther || r.redirect.Get("error") != "" {
				t.Fatalf("want an answer, got %d %s %v", r.status, r.body, r.redirect)
			}
			if reads, writes := h.backend.counts(); reads != 1 || writes != 1 {
				t.Errorf("want one read, of the session, and one durable write, got %d and %d", reads, writes)
			}
			found, err := h.backend.Tickets().Find(t.Context(), h.sid("ann"))
			if err != nil || len(found.Clients) != 1 || found.Clients[0].ClientID != "app" {
				t.Errorf("want the client on record, got %+v, %v", found, err)
			}
			if token := r.redirect.Get("access_token"); token != "" {
				h.mustActive(token, true)
			}
			if code := r.redirect.Get("code"); code != "" {
				h.exchange(code).must(t, http.StatusOK, "")
			}
			h.end("ann")
			if token := r.redirect.Get("access_token"); token != "" {
				h.mustActive(token, false)
			}
		})
	}
}

func TestHybridKeepsTheCodeHash(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	r := h.browser().signIn("ann").get("/authorize", authorization("response_type", "code id_token"))
	want := claims(t, r.redirect.Get("id_token"))["c_hash"]
	got := claims(t, h.exchange(r.redirect.Get("code")).str("id_token"))["c_hash"]
	if want == nil || got != want {
		t.Errorf("want c_hash %v in the ID token of the code, got %v", want, got)
	}
}

func TestHostWithItsOwnContexts(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(h *host, _ *fositestore.Config) { h.ownContext = true })
	b := h.browser()
	// The login form: signed in and answered in one request.
	code := b.get("/authorize", authorization("user", "ann")).redirect.Get("code")
	h.backend.counts()
	r := h.exchange(code)
	reads, writes := h.backend.counts()
	if c := claims(t, r.str("id_token")); c["sid"] != h.sid("ann") {
		t.Errorf("want the ID token bound to the session, got %v", c)
	}
	if reads != 1 || writes != 1 {
		t.Errorf("want one read and one write, got %d and %d", reads, writes)
	}
}

func TestPKCE(t *testing.T) {
	t.Parallel()
	verifier := strings.Repeat("v", 43)
	t.Run("right verifier", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		code := h.browser().signIn("ann").code("code_challenge", verifier, "code_challenge_method", "plain")
		h.exchange(code, "code_verifier", verifier).must(t, http.StatusOK, "")
	})
	t.Run("wrong verifier followed by none", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		code := h.browser().signIn("ann").code("code_challenge", verifier, "code_challenge_method", "plain")
		h.exchange(code, "code_verifier", strings.Repeat("w", 43)).must(t, http.StatusBadRequest,
			"invalid_grant")
		h.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
	})
	t.Run("verifier without challenge", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		h.exchange(h.browser().signIn("ann").code(), "code_verifier", verifier).must(t, http.StatusBadRequest,
			"invalid_grant")
	})
}

func TestCodeUsedTwiceRevokesTheFamily(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	code := h.browser().signIn("ann").code()
	r := h.exchange(code)
	h.mustActive(r.str("access_token"), true)
	h.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
	h.mustActive(r.str("access_token"), false)
	h.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
}

func TestRefreshRotatesAndReuseRevokes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, first := h.tokens("ann")
	second := h.refresh(first.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	h.mustActive(first.str("access_token"), false)
	h.mustActive(second.str("access_token"), true)
	h.refresh(first.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
	h.mustActive(second.str("access_token"), false)
	h.refresh(second.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
}

func TestRefreshGrace(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(_ *host, c *fositestore.Config) { c.RefreshGrace = time.Minute })
	_, first := h.tokens("ann")
	second, third := h.refresh(first.str("refresh_token")), h.refresh(first.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	third.must(t, http.StatusOK, "")
	h.mustActive(second.str("access_token"), true)
	h.mustActive(third.str("access_token"), true)
	// Each line continues independently.
	fourth := h.refresh(second.str("refresh_token"))
	fourth.must(t, http.StatusOK, "")
	h.mustActive(second.str("access_token"), false)
	h.mustActive(third.str("access_token"), true)
	h.mustActive(fourth.str("access_token"), true)
}

func TestRefreshAfterTheGrace(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	h := newHost(t, func(_ *host, c *fositestore.Config) {
		c.RefreshGrace = time.Minute
		c.Host.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	_, first := h.tokens("ann")
	second := h.refresh(first.str("refresh_token"))
	ahead.Store(int64(2 * time.Minute))
	h.mustActive(second.str("access_token"), true)
	h.refresh(first.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
	h.mustActive(second.str("access_token"), false)
	h.refresh(second.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
}

// A client that registers a logout URI during a session is notified from its next code on.
func TestCodeExchangeIsAUseOfTheSession(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	client := func() ticketstore.ClientUse {
		found, err := h.backend.Tickets().Find(t.Context(), h.sid("ann"))
		if err != nil || len(found.Clients) != 1 {
			t.Fatalf("want one client, got %+v, %v", found, err)
		}
		return found.Clients[0]
	}
	code := h.browser().signIn("ann").code()
	authorized := client()
	h.memory.Clients["app"] = &logoutClient{
		h.memory.Clients["app"].(*fosite.DefaultClient), "https://app.example/logout",
	}
	h.exchange(code).must(t, http.StatusOK, "")
	if exchanged := client(); authorized.Notify || !exchanged.Notify ||
		!exchanged.LastUsed.After(authorized.LastUsed) {
		t.Errorf("want a later use by the client recorded, got %+v and then %+v", authorized, exchanged)
	}
}

// A removal may keep tokens: they outlive the session, whatever their scopes.
func TestTokensKeptByARemoval(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(h *host, _ *fositestore.Config) { h.fosite.RefreshTokenScopes = []string{} })
	_, r := h.tokens("ann", "scope", "openid")
	_, err := h.sessions.RemoveSessions(t.Context(),
		hostadapter.SessionRemoval{SessionID: h.sid("ann"), KeepTokens: true})
	if err != nil {
		t.Fatal(err)
	}
	h.mustActive(r.str("access_token"), true)
	second := h.refresh(r.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	h.mustActive(second.str("access_token"), true)
}

// Back-Channel Logout 1.0, section 2.7.
func TestOfflineRefreshTokenSurvivesSignOut(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b, r := h.tokens("ann")
	b.get("/logout", nil).must(t, http.StatusOK, "")
	h.mustActive(r.str("access_token"), false)
	second := h.refresh(r.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	h.mustActive(second.str("access_token"), true)
	h.end("ann")
	h.mustActive(second.str("access_token"), false)
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"access_token", "refresh_token"} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			_, r := h.tokens("ann")
			h.post("/revoke", url.Values{"token": {r.str(which)}, "as": {"other"}}).must(t, http.StatusOK, "")
			h.mustActive(r.str("access_token"), true)
			h.backend.counts()
			h.post("/revoke", url.Values{"token": {r.str(which)}}).must(t, http.StatusOK, "")
			if _, writes := h.backend.counts(); writes != 1 {
				t.Errorf("want one durable write, got %d", writes)
			}
			h.mustActive(r.str("access_token"), false)
			h.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
			h.post("/revoke", url.Values{"token": {r.str(which)}}).must(t, http.StatusOK, "")
		})
	}
}

func TestMalformedTokens(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, token := range []string{"", "no-dot", "a.b.c", "."} {
		h.exchange(token).must(t, http.StatusBadRequest, "invalid_grant")
		h.refresh(token).must(t, http.StatusBadRequest, "invalid_grant")
		if token != "" {
			h.mustActive(token, false)
		}
		h.post("/revoke", url.Values{"token": {token}}).must(t, http.StatusOK, "")
	}
}

func TestGrantsWithoutASession(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.newSession = func(string) fosite.Session { return &openid.DefaultSession{} }
	for name, form := range map[string]url.Values{
		"client credentials": {"grant_type": {"client_credentials"}, "scope": {"photos"}},
		"password": {
			"grant_type": {"password"}, "username": {"peter"}, "password": {"secret"},
			"scope": {"offline_access"},
		},
	} {
		h.backend.counts()
		r := h.post("/token", form)
		r.must(t, http.StatusOK, "")
		if reads, writes := h.backend.counts(); reads != 0 || writes != 1 {
			t.Errorf("%s: want no read and one write, got %d and %d", name, reads, writes)
		}
		h.mustActive(r.str("access_token"), true)
	}
}

func TestUnbound(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		r := h.browser().get("/authorize", authorization("claim", "ann"))
		if r.redirect.Get("error") != "server_error" {
			t.Errorf("want server_error for a grant to a user without a session, got %d %s %v", r.status,
				r.body, r.redirect)
		}
	})
	t.Run("another subject", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		r := h.browser().signIn("bob").get("/authorize", authorization("claim", "ann"))
		if r.redirect.Get("error") != "server_error" {
			t.Errorf("want server_error for a grant to another user, got %d %s %v", r.status, r.body,
				r.redirect)
		}
	})
	t.Run("allowed", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, func(_ *host, c *fositestore.Config) { c.AllowUnbound = true })
		r := h.browser().get("/authorize", authorization("claim", "ann"))
		h.exchange(r.redirect.Get("code")).must(t, http.StatusOK, "")
	})
}

func TestPrompt(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	if r := h.browser().get("/authorize",
		authorization("prompt", "none")); r.redirect.Get("error") != "login_required" {
		t.Errorf("prompt=none without a session: want login_required, got %d %s %v", r.status, r.body,
			r.redirect)
	}
	b := h.browser().signIn("ann")
	b.code("prompt", "none")
	for _, asks := range [][]string{
		{"prompt", "login"}, {"prompt", "select_account"}, {"max_age", "0"}, {"acr_values", "2 3"},
	} {
		if r := b.get("/authorize", authorization(asks...)); r.status != http.StatusUnauthorized {
			t.Errorf("%v: want the login form, got %d %v", asks, r.status, r.redirect)
		}
	}
	b.code("max_age", "3600", "acr_values", "2 1")
	// Signed in by the form in this request.
	r := h.exchange(b.code("prompt", "login", "user", "ann"))
	r.must(t, http.StatusOK, "")
}

// When a request finds a session expired, the survivors are decided immediately: a client must not lose its
// offline access because its request precedes the sweep.
func TestOfflineRefreshTokenSurvivesAnUnsweptExpiry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ revoke, meanwhile bool }{
		"kept": {}, "revoked": {revoke: true}, "kept, during the request": {meanwhile: true},
		"revoked, during the request": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ahead atomic.Int64
			var expires atomic.Bool
			revoke := c.revoke
			h := newHost(t, func(_ *host, c *fositestore.Config) {
				c.Host.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
				c.Host.Lifetime.IdleTimeout = time.Minute
				c.Host.Expiry.Off = true
				c.Host.Expiry.RevokeOffline = revoke
				c.Host.UserActive = func(context.Context, string) (bool, error) { // between read and write
					if expires.Load() {
						ahead.Store(int64(2 * time.Minute))
					}
					return true, nil
				}
			})
			_, r := h.tokens("ann")
			if expires.Store(c.meanwhile); !c.meanwhile {
				ahead.Store(int64(2 * time.Minute))
				h.mustActive(r.str("access_token"), false)
			}
			second := h.refresh(r.str("refresh_token"))
			if revoke {
				second.must(t, http.StatusBadRequest, "invalid_grant")
				return
			}
			second.must(t, http.StatusOK, "")
			h.mustActive(second.str("access_token"), true)
		})
	}
}

// The number of clients per session is bounded; existing clients can still use it.
func TestAuthorizationBeyondTheClientLimit(t *testing.T) {
	t.Parallel()
	var logged strings.Builder
	h := newHost(t, func(_ *host, c *fositestore.Config) {
		c.Host.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	b := h.browser().signIn("ann")
	code := b.code()
	for i := range ticketstore.MaxClients - 1 {
		_, err := h.backend.Grants().Apply(t.Context(), &grantstore.Batch{
			OperationID: fmt.Sprint("use ", i),
			Use:         &grantstore.Use{SessionID: h.sid("ann"), ClientID: fmt.Sprint("client ", i)},
		}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
	}
	late := *h.memory.Clients["app"].(*fosite.DefaultClient)
	late.ID = "late"
	h.memory.Clients["late"] = &late
	r := b.get("/authorize", authorization("client_id", "late"))
	if r.redirect.Get("error") != "invalid_request" ||
		!strings.Contains(r.redirect.Get("error_description"), "sign out and in again") {
		t.Errorf("want invalid_request with advice, got %d %s %v", r.status, r.body, r.redirect)
	}
	if !strings.Contains(logged.String(), "authorization was refused") {
		t.Errorf("want it logged, got %q", logged.String())
	}
	h.exchange(code).must(t, http.StatusOK, "")
	h.exchange(b.code()).must(t, http.StatusOK, "")
}

// Revoking a consent revokes the client's codes and tokens, including offline tokens and those of ended
// sessions, and nothing else.
func TestConsentIsRevokedTogetherWithItsTokens(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	former, before := h.tokens("ann")
	former.get("/logout", nil)
	b, now := h.tokens("ann")
	code := b.code()
	_, bobs := h.tokens("bob")
	if err := h.sessions.Consents().Remember(t.Context(), "ann", "app", []string{"openid"}, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.sessions.Consents().Revoke(t.Context(), "ann", "app"); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*reply{before, now} {
		h.mustActive(r.str("access_token"), false)
		h.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
	}
	h.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
	h.mustActive(bobs.str("access_token"), true)
	if given, err := h.sessions.Consents().Given(t.Context(), "ann", "app", []string{"openid"}); err != nil ||
		given {
		t.Errorf("want the consent gone, got %t, %v", given, err)
	}
	if who := b.get("/whoami", nil); who.body != "ann" {
		t.Errorf("want ann signed in, got %q", who.body)
	}
	h.exchange(b.code()).must(t, http.StatusOK, "")
}
