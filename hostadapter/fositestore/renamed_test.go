package fositestore_test

// A host with a changed issuer (rule 13).

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const renamed = "http://renamed.example:9000"

// renamedFrom returns the host after a restart with a new issuer.
func renamedFrom(before *host, clock *movedClock, former ...string) *host {
	return newHost(before.t, sliding(clock, true, nil), func(h *host, c *fositestore.Config) {
		h.backend, c.Backend, h.newSession = before.backend, before.backend, before.newSession
		h.fosite.IDTokenIssuer, h.fosite.AccessTokenIssuer = renamed, renamed
		c.Host.FormerIssuers = former
	})
}

// TestOtherIssuerIsRefused: a store refuses hosts of a different issuer, both in the same process and after a
// restart.
func TestOtherIssuerIsRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	config := fositestore.Config{
		Backend: h.backend, Store: h.memory, Host: hostadapter.Config{Logger: quiet()},
		Key:    func(context.Context) (any, error) { return signingKey(), nil },
		Fosite: &fosite.Config{IDTokenIssuer: renamed, GlobalSecret: []byte(strings.Repeat("s", 32))},
	}
	sessions, err := fositestore.Attach(t.Context(), config)
	if err == nil {
		_ = sessions.Close()
	}
	if !errors.Is(err, hostadapter.ErrOtherIssuer) || !strings.Contains(err.Error(), issuer) ||
		!strings.Contains(err.Error(), renamed) {
		t.Errorf("Attach: %v, want a refusal that names both issuers", err)
	}
}

// TestFormerIssuer: which operations a session of a former issuer still allows.
func TestFormerIssuer(t *testing.T) {
	t.Parallel()
	for name, newSession := range map[string]func(string) fosite.Session{
		"openid sessions": openIDSession,
		"JWT sessions": func(subject string) fosite.Session {
			return &oauth2.JWTSession{Subject: subject}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			openID := name == "openid sessions"
			clock := &movedClock{}
			before := newHost(t, sliding(clock, true, nil), func(h *host, _ *fositestore.Config) {
				h.newSession = newSession
			})
			scope := []string{"scope", "offline_access"}
			if openID {
				scope[1] = "openid offline_access"
			}
			b, first := before.tokens("ann", scope...)
			pending, sid := b.code(scope...), before.sid("ann")
			due := before.expires(sid)
			bob := before.browser().signIn("bob")
			bobs := before.sid("bob")
			h := renamedFrom(before, clock, issuer)
			moved := &browser{h: h, client: b.client}
			moved.mustBe("")
			if r := moved.get("/authorize", authorization(scope...)); r.redirect.Get("code") != "" {
				t.Error("the cookie got a new code")
			}
			h.exchange(pending).must(t, http.StatusBadRequest, "invalid_grant")

			over := (&browser{h: h, client: bob.client}).signIn("bob")
			over.mustBe("bob")
			if _, err := h.sessions.Operations().SessionByID(t.Context(), bobs); !errors.Is(err,
				ticketstore.ErrNotFound) {
				t.Errorf("after a sign-in over its cookie: %v, want the session ended", err)
			}
			fresh := h.exchange(over.code(scope...))
			fresh.must(t, http.StatusOK, "")
			if openID {
				if c := claims(t, fresh.str("id_token")); c["iss"] != renamed {
					t.Errorf("ID token of the new session: %v, want the new issuer", c)
				}
			}

			// Its use does not renew it.
			tokens := first
			for range 3 {
				clock.advance(5 * time.Minute)
				h.mustActive(tokens.str("access_token"), true)
				if openID {
					moved.get("/userinfo",
						url.Values{"access_token": {tokens.str("access_token")}}).must(t, http.StatusOK, "")
				}
				tokens = h.refresh(tokens.str("refresh_token"))
				tokens.must(t, http.StatusOK, "")
				if openID {
					if c := claims(t, tokens.str("id_token")); c["iss"] != issuer || c["sid"] != sid {
						t.Errorf("ID token of a refresh: %v, want the issuer that the session began with "+
							"(Core 1.0, section 12.2)", c)
					}
				}
			}
			if at := h.expires(sid); !at.Equal(due) {
				t.Errorf("the session ends at %v, want %v: it does not slide", at, due)
			}
		})
	}
}

// TestFormerIssuersHint: an ID token of a former issuer signs out of its session.
func TestFormerIssuersHint(t *testing.T) {
	t.Parallel()
	clock := &movedClock{}
	before := newHost(t, sliding(clock, true, nil))
	_, first := before.tokens("ann")
	sid := before.sid("ann")
	h := renamedFrom(before, clock, issuer)
	hint := url.Values{"id_token_hint": {first.str("id_token")}}
	if r := h.browser().get("/end_session", hint); r.status != http.StatusOK ||
		!strings.Contains(r.body, "You are signed out.") {
		t.Errorf("signing out: %d %s", r.status, r.body)
	}
	if _, err := h.sessions.Operations().SessionByID(t.Context(), sid); !errors.Is(err,
		ticketstore.ErrNotFound) {
		t.Errorf("the session: %v, want it ended", err)
	}
}

// TestUnknownIssuer: no token is signed for a session whose issuer is neither the current nor a former one.
func TestUnknownIssuer(t *testing.T) {
	t.Parallel()
	clock := &movedClock{}
	before := newHost(t, sliding(clock, true, nil))
	b, first := before.tokens("ann")
	sid := before.sid("ann")
	renamedFrom(before, clock, issuer) // the store now belongs to the new issuer
	h := renamedFrom(before, clock)
	(&browser{h: h, client: b.client}).mustBe("")
	h.mustActive(first.str("access_token"), false)
	h.refresh(first.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
	if _, err := h.sessions.RemoveSessions(t.Context(),
		hostadapter.SessionRemoval{SessionID: sid}); err != nil {
		t.Fatal(err)
	}
}
