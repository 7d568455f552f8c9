package fositestore_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/logout"
)

// ownStore composes a server that keeps grants in its own store.
func ownStore(wrap func(h *host) any) option {
	return func(h *host, _ *fositestore.Config) {
		h.compose = func(config *fosite.Config, _ *fositestore.Store) fosite.OAuth2Provider {
			return compose.ComposeAllEnabled(config, wrap(h), signingKey())
		}
	}
}

func wrapped(h *host) any { return h.sessions.Wrap(h.memory) }

// Grants end with their session immediately, however it ends, although their rows stay in the host's store.
func TestWrappedStore(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(h *host, b *browser, clock *movedClock){
		"removal":  func(h *host, _ *browser, _ *movedClock) { h.end("ann") },
		"sign-out": func(_ *host, b *browser, _ *movedClock) { b.get("/logout", nil) },
		"expiry":   func(_ *host, _ *browser, clock *movedClock) { clock.advance(2 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := &movedClock{}
			h := newHost(t, sliding(clock, false, nil), ownStore(wrapped),
				func(_ *host, c *fositestore.Config) {
					c.Host.Clients = logout.ClientMap{
						"app": {BackChannelLogoutURI: "https://app.example/logout"},
					}
				})
			b, first := h.tokens("ann", "scope", "openid offline_access")
			if c := claims(t, first.str("id_token")); c["sid"] != h.sid("ann") {
				t.Errorf("want the ID token to name the session, got %v", c)
			}
			second := h.refresh(first.str("refresh_token"))
			second.must(t, http.StatusOK, "")
			h.mustActive(second.str("access_token"), true)
			implicit := b.get("/authorize",
				authorization("response_type", "token", "scope", "photos")).redirect.Get("access_token")
			h.mustActive(implicit, true)
			code := b.code()
			machine := h.post("/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"photos"}})
			machine.must(t, http.StatusOK, "")

			end(h, b, clock)
			h.mustActive(second.str("access_token"), false)
			h.mustActive(implicit, false)
			h.refresh(second.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
			h.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
			h.mustActive(machine.str("access_token"), true)
			_, signature, _ := strings.Cut(second.str("access_token"), ".")
			if _, err := h.memory.GetAccessTokenSession(t.Context(), signature, nil); err != nil {
				t.Errorf("want the rows of the host's store unchanged, got %v", err)
			}
		})
	}
}

// With a wrapped store clients are notified, and an unavailable backend leads to 503.
func TestWrappedStoreNotifiesAndFails(t *testing.T) {
	t.Parallel()
	h := newHost(t, ownStore(wrapped), func(_ *host, c *fositestore.Config) {
		c.Host.Clients = logout.ClientMap{"app": {BackChannelLogoutURI: "https://app.example/logout"}}
	})
	_, r := h.tokens("ann")
	h.backend.down.Store(true)
	if got := h.introspect(r.str("access_token")); got.status != http.StatusServiceUnavailable {
		t.Errorf("introspection while the backend is unavailable: want 503, got %d %s", got.status, got.body)
	}
	if got := h.refresh(r.str("refresh_token")); got.status != http.StatusServiceUnavailable {
		t.Errorf("refresh while the backend is unavailable: want 503, got %d %s", got.status, got.body)
	}
	h.backend.down.Store(false)
	result, err := h.sessions.RemoveSessions(t.Context(), hostadapter.SessionRemoval{SubjectID: "ann"})
	if err != nil || result.NotificationsQueued != 1 {
		t.Errorf("want one notification, got %+v, %v", result, err)
	}
}

// traced is a host's decorator of the Store.
type traced struct{ *fositestore.Store }

// tracedIntrospection is a host's decorator of an introspection handler.
type tracedIntrospection struct{ oauth2.StatelessJWTValidator }

// A composition whose handlers keep grants elsewhere, or accept tokens without a store, is refused: removed
// grants would stay live there.
func TestCompositionWithAnotherStore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		compose func(h *host, config *fosite.Config) fosite.OAuth2Provider
		refused bool
	}{
		"the host's own": {func(h *host, config *fosite.Config) fosite.OAuth2Provider {
			return compose.ComposeAllEnabled(config, h.memory, signingKey())
		}, true},
		"a configuration that was composed before": {
			func(h *host, config *fosite.Config) fosite.OAuth2Provider {
				compose.ComposeAllEnabled(config, h.memory, signingKey())
				return compose.ComposeAllEnabled(config, h.sessions.Store(), signingKey())
			}, true},
		"another configuration": {func(h *host, config *fosite.Config) fosite.OAuth2Provider {
			own := *config
			return compose.ComposeAllEnabled(&own, h.memory, signingKey())
		}, true},
		"one handler of them": {func(h *host, config *fosite.Config) fosite.OAuth2Provider {
			strategy := &compose.CommonStrategy{CoreStrategy: compose.NewOAuth2HMACStrategy(config)}
			config.TokenIntrospectionHandlers.Append(compose.OAuth2TokenIntrospectionFactory(config, h.memory,
				strategy).(fosite.TokenIntrospector))
			return compose.Compose(config, h.sessions.Store(), strategy,
				compose.OAuth2AuthorizeExplicitFactory)
		}, true},
		"another server's Store": {func(h *host, config *fosite.Config) fosite.OAuth2Provider {
			return compose.ComposeAllEnabled(config, newHost(h.t).sessions.Store(), signingKey())
		}, true},
		"the host's own, wrapped": {func(h *host, config *fosite.Config) fosite.OAuth2Provider {
			return compose.ComposeAllEnabled(config, h.sessions.Wrap(h.memory), signingKey())
		}, false},
		"a decorated Store": {func(h *host, config *fosite.Config) fosite.OAuth2Provider {
			return compose.ComposeAllEnabled(config, &traced{h.sessions.Store()}, signingKey())
		}, false},
		"introspection that asks no store": {func(h *host, config *fosite.Config) fosite.OAuth2Provider {
			return compose.Compose(config, h.sessions.Store(),
				&jwt.DefaultSigner{GetPrivateKey: keyOf(signingKey())},
				compose.OAuth2StatelessJWTIntrospectionFactory)
		}, true},
		"introspection that asks no store, decorated": {
			func(h *host, config *fosite.Config) fosite.OAuth2Provider {
				config.TokenIntrospectionHandlers.Append(&tracedIntrospection{})
				return compose.ComposeAllEnabled(config, h.sessions.Store(), signingKey())
			}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			config := validConfig(t)
			sessions, err := fositestore.Attach(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer sessions.Close()
			h.sessions = sessions
			provider := test.compose(h, config.Fosite)
			defer func() {
				said := fmt.Sprint(recover())
				refused := strings.Contains(said, "Sessions.Wrap") ||
					strings.Contains(said, "OAuth2TokenIntrospectionFactory")
				if refused != test.refused {
					t.Errorf("want it refused: %t, got %s", test.refused, said)
				}
			}()
			sessions.Provider(provider)
		})
	}
}
