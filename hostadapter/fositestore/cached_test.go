package fositestore_test

// Access tokens from the host's cache.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/plugin/plugintest"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// cached makes the host call its backend through the protocol, with a cache.
func cached(h *host, c *fositestore.Config) {
	stores := plugintest.Connect(h.t, h.backend.Backend)
	w := watch(h.backend.Backend)
	w.tickets.Store, w.grants.Store, w.logout.Store = stores.Tickets, stores.Grants, stores.Logout
	h.backend, c.Backend = w, w
}

// fosite gets a copy of a cached grant: modifications by fosite or the host do not affect later requests.
func TestCachedGrantIsNotShared(t *testing.T) {
	t.Parallel()
	for name, kind := range sessionTypes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, cached, func(h *host, _ *fositestore.Config) { h.newSession = kind.make })
			scope := "photos"
			if kind.openID {
				scope += " openid"
			}
			_, tokens := h.tokens("ann", "scope", scope)
			_, signature, _ := strings.Cut(tokens.str("access_token"), ".")
			read := func() (fosite.Requester, string) {
				request, err := h.sessions.Store().GetAccessTokenSession(t.Context(), signature,
					h.newSession(""))
				if err != nil {
					t.Error(err)
					return nil, ""
				}
				shown, err := json.Marshal([]any{
					request.GetSession(), request.GetRequestForm(), request.GetRequestedScopes(),
					request.GetGrantedScopes(), request.GetRequestedAudience(), request.GetGrantedAudience(),
				})
				if err != nil {
					t.Error(err)
				}
				return request, string(shown)
			}
			_, want := read()
			var group sync.WaitGroup
			for i := range 8 {
				group.Go(func() {
					for range 20 {
						request, got := read()
						if got != want {
							t.Errorf("a cached grant: got %s, want %s", got, want)
							return
						}
						spoil(request, fmt.Sprint("spoilt-", i))
					}
				})
			}
			group.Wait()
		})
	}
}

// spoil modifies everything in a request that fosite or a host may modify.
func spoil(request fosite.Requester, with string) {
	for _, list := range append([][]string{
		request.GetRequestedScopes(), request.GetGrantedScopes(),
		request.GetRequestedAudience(), request.GetGrantedAudience(),
	}, slices.Collect(maps.Values(request.GetRequestForm()))...) {
		for i := range list {
			list[i] = with
		}
	}
	request.AppendRequestedScope(with)
	request.GrantScope(with)
	request.GrantAudience(with)
	request.GetRequestForm().Add("scope", with)
	request.GetRequestForm().Set(with, with)
	session := request.GetSession()
	session.SetExpiresAt(fosite.AccessToken, time.Now())
	if s, ok := session.(openid.Session); ok {
		s.IDTokenClaims().Add(with, with)
		s.IDTokenClaims().Subject = with
		s.IDTokenClaims().Audience = append(s.IDTokenClaims().Audience, with)
		s.IDTokenHeaders().Add(with, with)
	}
	if s, ok := session.(oauth2.JWTSessionContainer); ok {
		if claims, ok := s.GetJWTClaims().(*jwt.JWTClaims); ok {
			claims.Add(with, with)
		}
	}
	if s, ok := session.(fosite.ExtraClaimsSession); ok && s.GetExtraClaims() != nil {
		s.GetExtraClaims()[with] = with
	}
}

// A cached request uses no more memory than its data, even if its decoded claims are larger. Not parallel,
// because it measures the heap.
func TestSizeOfCachedGrant(t *testing.T) {
	const tokens, groups = 400, 500
	h := newHost(t, cached)
	claims := make([]any, groups)
	for i := range claims {
		claims[i] = fmt.Sprint("group", i)
	}
	store := h.sessions.Store()
	for i := range tokens {
		session := openid.NewDefaultSession()
		session.Claims.Extra = map[string]any{"groups": claims}
		request := fosite.NewAccessRequest(session)
		request.Client = &fosite.DefaultClient{ID: "app"}
		if err := store.CreateAccessTokenSession(t.Context(), fmt.Sprint(i), request); err != nil {
			t.Fatal(err)
		}
	}
	before := testenv.Heap()
	for i := range tokens {
		if _, err := store.GetAccessTokenSession(t.Context(), fmt.Sprint(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	// Sealed and unsealed; decoded it would use 45 kB more.
	if taken := (testenv.Heap() - before) / tokens; taken > 25_000 {
		t.Errorf("a cached token with 6 kB of data takes %d bytes, want it about twice", taken)
	}
}

// A grant that cannot be opened is read again: the fault may have been temporary.
func TestCachedGrantThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	for name, modify := range map[string]func(*grantstore.Grant){
		"a changed bit": func(g *grantstore.Grant) {
			g.Data = slices.Clone(g.Data)
			g.Data[20] ^= 1
		},
		"no data": func(g *grantstore.Grant) { g.Data = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &untrusted{}
			h := newHost(t, func(h *host, c *fositestore.Config) {
				l.Backend = h.backend.Backend
				h.backend.Backend = untrustedWithKills{l, l.Backend.(killer)}
				cached(h, c)
			})
			_, tokens := h.tokens("ann")
			token := tokens.str("access_token")
			l.about(grantstore.ReferenceToken, func(found *grantstore.GetResult) { modify(&found.Grant) })
			h.mustActive(token, false)
			l.unmodified()
			h.mustActive(token, true)
			l.about(grantstore.ReferenceToken, func(found *grantstore.GetResult) { modify(&found.Grant) })
			h.mustActive(token, true) // from the cache
		})
	}
}

// untrustedWithKills also streams kills. Its answers to batches have no session times, so that grants are
// read.
type untrustedWithKills struct {
	*untrusted
	killer
}

func (l untrustedWithKills) Grants() grantstore.Store { return untold{l.untrusted.Grants()} }

type untold struct{ grantstore.Store }

func (u untold) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	result, err := u.Store.Apply(ctx, batch, now)
	if err == nil {
		result.Session = nil
	}
	return result, err
}

type killer interface{ Kills() grantstore.Kills }

// A session whose tokens are answered from the cache is renewed, with the usual throttle.
func TestRule9_CachedTokensKeepTheSessionAlive(t *testing.T) {
	t.Parallel()
	clock := &movedClock{}
	h := newHost(t, cached, sliding(clock, true, nil))
	_, tokens := h.tokens("ann")
	token, sid := tokens.str("access_token"), h.sid("ann")
	for range 4 {
		before := h.expires(sid)
		clock.advance(10 * time.Minute)
		h.backend.counts()
		h.mustActive(token, true)
		if _, writes := h.backend.counts(); writes != 1 {
			t.Errorf("the first introspection in ten minutes writes %d times, want once", writes)
		}
		if after := h.expires(sid); !after.After(before) {
			t.Errorf("the session expires at %v, want it to slide from %v", after, before)
		}
		for range 3 {
			h.mustActive(token, true)
		}
		if _, writes := h.backend.counts(); writes != 0 {
			t.Errorf("introspections in the same minute write %d times, want none", writes)
		}
	}
}

// Everything that ends a token is acknowledged only when no cache answers it.
func TestRule15_AcknowledgedIsEndedInTheCache(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(h *host, b *browser, tokens *reply){
		"removal": func(h *host, b *browser, _ *reply) { h.end("ann") },
		"revocation of the refresh token": func(h *host, _ *browser, tokens *reply) {
			h.post("/revoke", map[string][]string{"token": {tokens.str("refresh_token")}}).
				must(h.t, http.StatusOK, "")
		},
		"refresh": func(h *host, _ *browser, tokens *reply) {
			h.refresh(tokens.str("refresh_token")).must(h.t, http.StatusOK, "")
		},
		"reuse of a refresh token": func(h *host, _ *browser, tokens *reply) {
			h.refresh(tokens.str("refresh_token"))
			h.refresh(tokens.str("refresh_token")).must(h.t, http.StatusBadRequest, "invalid_grant")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, cached)
			for range 5 {
				b, tokens := h.tokens("ann", "scope", "openid offline_access")
				token := tokens.str("access_token")
				h.mustActive(token, true)
				h.mustActive(token, true)
				end(h, b, tokens)
				h.mustActive(token, false)
			}
		})
	}
}

// counted counts reads of grants behind a host's cache.
type counted struct {
	sessions.Backend
	killer
	grants *countedGrants
}

func (c counted) Grants() grantstore.Store { return c.grants }

type countedGrants struct {
	grantstore.Store
	reads atomic.Int64
}

func (g *countedGrants) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (*grantstore.GetResult, error) {
	g.reads.Add(1)
	return g.Store.Get(ctx, ref, now)
}

func count(grants **countedGrants) func(*host, *fositestore.Config) {
	return func(h *host, c *fositestore.Config) {
		below := h.backend.Backend
		*grants = &countedGrants{Store: below.Grants()}
		h.backend.Backend = counted{below, below.(killer), *grants}
		cached(h, c)
	}
}

// Tokens stored by an exchange or a refresh are not read again, neither by the first introspection nor by the
// next refresh.
func TestStoredTokensAreNotRead(t *testing.T) {
	t.Parallel()
	var grants *countedGrants
	h := newHost(t, count(&grants))
	_, tokens := h.tokens("ann", "scope", "openid offline_access")
	for range 3 {
		grants.reads.Store(0)
		h.mustActive(tokens.str("access_token"), true)
		next := h.refresh(tokens.str("refresh_token"))
		next.must(t, http.StatusOK, "")
		if n := grants.reads.Load(); n != 0 {
			t.Errorf("an introspection and a refresh read %d grants, want none", n)
		}
		h.mustActive(tokens.str("access_token"), false)
		h.mustActive(tokens.str("refresh_token"), false)
		tokens = next
	}
}

// Cached refresh tokens are not invalidated by kills, so introspection and use of a refresh token call the
// store.
func TestRule3_CopiedRefreshTokens(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		batch   func(ref grantstore.Ref, family string) grantstore.Batch
		revoked bool // the tokens issued for it
	}{
		"used at another host": {func(ref grantstore.Ref, _ string) grantstore.Batch {
			return grantstore.Batch{Consume: &grantstore.Consumption{Ref: ref}}
		}, true},
		"revoked at another host": {func(_ grantstore.Ref, family string) grantstore.Batch {
			return grantstore.Batch{Revoke: []grantstore.Revocation{
				{RequestID: family, Types: []grantstore.Type{grantstore.RefreshToken}},
			}}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var grants *countedGrants
			h := newHost(t, count(&grants))
			_, tokens := h.tokens("ann", "scope", "openid offline_access")
			refresh := tokens.str("refresh_token")
			_, signature, _ := strings.Cut(refresh, ".")
			ref := grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf(signature)}
			found, err := grants.Get(t.Context(), ref, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			batch := c.batch(ref, found.Grant.RequestID)
			batch.OperationID = "elsewhere"
			issued := found.Grant
			issued.Type, issued.Key = grantstore.ReferenceToken, ticketstore.KeyOf("issued elsewhere")
			batch.Store = []grantstore.Grant{issued}
			if _, err := grants.Apply(t.Context(), &batch, time.Now()); err != nil {
				t.Fatal(err)
			}
			h.mustActive(refresh, false)
			grants.reads.Store(0)
			h.refresh(refresh).must(t, http.StatusBadRequest, "invalid_grant")
			if n := grants.reads.Load(); n != 0 {
				t.Errorf("the refresh reads %d grants, want none: it is cached", n)
			}
			_, err = grants.Get(t.Context(), issued.Ref, time.Now())
			if revoked := errors.Is(err, ticketstore.ErrNotFound); revoked != c.revoked {
				t.Errorf("the issued token: got %v, want it revoked: %t", err, c.revoked)
			}
		})
	}
}

// lasting does not invalidate used refresh tokens.
type lasting struct{ *fositestore.Store }

func (lasting) RotateRefreshToken(context.Context, string, string) error { return nil }

// stateless additionally keeps no access tokens.
type stateless struct{ lasting }

func (stateless) CreateAccessTokenSession(context.Context, string, fosite.Requester) error {
	return nil
}

func (stateless) CreateRefreshTokenSession(context.Context, string, string, fosite.Requester) error {
	return nil
}

// If the host's storage does not invalidate used refresh tokens, the store decides whether they are live.
func TestRule15_CopiedRefreshTokensInTheirGrace(t *testing.T) {
	t.Parallel()
	for name, storage := range map[string]func(store *fositestore.Store) any{
		"lasting":   func(store *fositestore.Store) any { return lasting{store} },
		"stateless": func(store *fositestore.Store) any { return stateless{lasting{store}} },
		"stateless, without transactions": func(store *fositestore.Store) any {
			return struct{ oauth2.TokenRevocationStorage }{stateless{lasting{store}}}
		},
	} {
		for _, bare := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", without the Provider: ", bare), func(t *testing.T) {
				t.Parallel()
				var grants *countedGrants
				h := newHost(t, count(&grants), func(h *host, _ *fositestore.Config) {
					h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
						refreshing := func(c fosite.Configurator, _, strategy any) any {
							return compose.OAuth2RefreshTokenGrantFactory(c, storage(store), strategy)
						}
						return compose.Compose(config, store, compose.NewOAuth2HMACStrategy(config),
							compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2TokenRevocationFactory,
							refreshing)
					}
					h.bare = bare
				})
				_, tokens := h.tokens("ann", "scope", "openid offline_access")
				refresh := tokens.str("refresh_token")
				for range 2 {
					grants.reads.Store(0)
					h.refresh(refresh).must(t, http.StatusOK, "")
					if n := grants.reads.Load(); (n != 0) != bare {
						t.Errorf("the refresh reads %d grants, want it cached only with the Provider", n)
					}
				}
				h.post("/revoke", map[string][]string{"token": {refresh}}).must(t, http.StatusOK, "")
				if answer := h.refresh(refresh); answer.status == http.StatusOK {
					t.Error("a revoked refresh token gets tokens")
				}
			})
		}
	}
}

// reader is a host's handler after fosite's: it reads the given refresh token, for example to log it, after
// fosite has used it.
type reader struct{ storage oauth2.RefreshTokenStorage }

func (reader) HandleTokenEndpointRequest(context.Context, fosite.AccessRequester) error {
	return fosite.ErrUnknownRequest
}

func (r reader) PopulateTokenEndpointResponse(
	ctx context.Context, request fosite.AccessRequester, _ fosite.AccessResponder,
) error {
	if !r.CanHandleTokenEndpointRequest(ctx, request) {
		return fosite.ErrUnknownRequest
	}
	_, signature, _ := strings.Cut(request.GetRequestForm().Get("refresh_token"), ".")
	_, err := r.storage.GetRefreshTokenSession(ctx, signature, openIDSession(""))
	return err
}

func (reader) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

func (reader) CanHandleTokenEndpointRequest(_ context.Context, request fosite.AccessRequester) bool {
	return request.GetGrantTypes().ExactOne("refresh_token")
}

// A used refresh token can be read again, also if it was used again within the grace period.
func TestRefreshTokenIsReadAgain(t *testing.T) {
	t.Parallel()
	for _, bare := range []bool{false, true} {
		t.Run(fmt.Sprint("without the Provider: ", bare), func(t *testing.T) {
			t.Parallel()
			h := newHost(t, cached, func(h *host, config *fositestore.Config) {
				h.bare, config.RefreshGrace = bare, time.Hour
				h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
					provider := compose.ComposeAllEnabled(config, store, signingKey())
					config.TokenEndpointHandlers.Append(reader{store})
					return provider
				}
			})
			_, tokens := h.tokens("ann", "scope", "openid offline_access")
			for range 2 {
				h.refresh(tokens.str("refresh_token")).must(t, http.StatusOK, "")
			}
		})
	}
}
