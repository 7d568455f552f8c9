package fositestore_test

// Each of fosite's session types carries the session.

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// Custom session types, which are stored as JSON.

// embedsOpenID extends fosite's session.
type embedsOpenID struct {
	*openid.DefaultSession
	Tenant string
}

func (s *embedsOpenID) Clone() fosite.Session { return clone(s, &embedsOpenID{}) }

// embedsJWT embeds a session by value.
type embedsJWT struct {
	oauth2.JWTSession
	Tenant string
}

func (s *embedsJWT) Clone() fosite.Session { return clone(s, &embedsJWT{}) }

// embedsPlain embeds the session that can hold a sid only in its extra claims.
type embedsPlain struct {
	fosite.DefaultSession
	Tenant string
}

func (s *embedsPlain) Clone() fosite.Session { return clone(s, &embedsPlain{}) }

// ownSession embeds no session of fosite.
type ownSession struct {
	User, SID, Tenant string
	Ends              map[fosite.TokenType]time.Time
}

func (s *ownSession) SetExpiresAt(t fosite.TokenType, at time.Time) {
	if s.Ends == nil {
		s.Ends = map[fosite.TokenType]time.Time{}
	}
	s.Ends[t] = at
}
func (s *ownSession) GetExpiresAt(t fosite.TokenType) time.Time { return s.Ends[t] }
func (s *ownSession) GetUsername() string                       { return s.User }
func (s *ownSession) GetSubject() string                        { return s.User }
func (s *ownSession) SetSubject(subject string)                 { s.User = subject }
func (s *ownSession) SetSessionID(sid string)                   { s.SID = sid }
func (s *ownSession) GetSessionID() string                      { return s.SID }
func (s *ownSession) Clone() fosite.Session                     { return clone(s, &ownSession{}) }

func clone[S fosite.Session](from, to S) S {
	data, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		panic(err)
	}
	return to
}

// tenantOf returns the additional value of a custom type.
func tenantOf(session fosite.Session) string {
	switch s := session.(type) {
	case *embedsOpenID:
		return s.Tenant
	case *embedsJWT:
		return s.Tenant
	case *embedsPlain:
		return s.Tenant
	case *ownSession:
		return s.Tenant
	}
	return "acme" // fosite's own have none
}

// sessionTypes return a session for a subject, or for a token request if the subject is empty.
var sessionTypes = map[string]struct {
	make func(subject string) fosite.Session
	// openID: it can have an ID token.
	openID bool
}{
	"openid.DefaultSession": {openIDSession, true},
	"oauth2.JWTSession": {func(subject string) fosite.Session {
		return &oauth2.JWTSession{Subject: subject}
	}, false},
	"fosite.DefaultSession": {func(subject string) fosite.Session {
		return &fosite.DefaultSession{Subject: subject}
	}, false},
	"a type that embeds openid.DefaultSession": {func(subject string) fosite.Session {
		inner, _ := openIDSession(subject).(*openid.DefaultSession)
		return &embedsOpenID{inner, tenantFor(subject)}
	}, true},
	"a type that embeds oauth2.JWTSession": {func(subject string) fosite.Session {
		return &embedsJWT{oauth2.JWTSession{Subject: subject}, tenantFor(subject)}
	}, false},
	"a type that embeds fosite.DefaultSession": {func(subject string) fosite.Session {
		return &embedsPlain{fosite.DefaultSession{Subject: subject}, tenantFor(subject)}
	}, false},
	"a SessionIDCarrier of its own": {func(subject string) fosite.Session {
		return &ownSession{User: subject, Tenant: tenantFor(subject)}
	}, false},
	"a type with ID and access token": {newJWTSession, true},
}

// tenantFor sets the additional value in a session that the host authorizes.
func tenantFor(subject string) string {
	if subject == "" {
		return ""
	}
	return "acme"
}

// jwtAccessTokens composes a server whose access tokens are JWTs.
func jwtAccessTokens(h *host, _ *fositestore.Config) {
	h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
		key := func(context.Context) (any, error) { return signingKey(), nil }
		return compose.Compose(config, store, &compose.CommonStrategy{
			CoreStrategy: compose.NewOAuth2JWTStrategy(key,
				compose.NewOAuth2HMACStrategy(config), config),
			OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(key, config),
			Signer:                     &jwt.DefaultSigner{GetPrivateKey: key},
		}, compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2AuthorizeImplicitFactory,
			compose.OAuth2RefreshTokenGrantFactory,
			compose.OpenIDConnectExplicitFactory, compose.OpenIDConnectRefreshFactory,
			compose.OAuth2TokenIntrospectionFactory,
			compose.OAuth2TokenRevocationFactory, compose.OAuth2ClientCredentialsGrantFactory)
	}
}

// With any session type, grants are bound to the session and die with it.
func TestEverySessionTypeIsBound(t *testing.T) {
	t.Parallel()
	for name, kind := range sessionTypes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(h *host, _ *fositestore.Config) { h.newSession = kind.make })
			scope := "photos offline_access"
			if kind.openID {
				scope = "openid " + scope
			}
			b := h.browser().signIn("ann")
			implicit := b.get("/authorize",
				authorization("response_type", "token", "scope", "photos")).redirect.Get("access_token")
			first := h.exchange(b.code("scope", scope))
			first.must(t, http.StatusOK, "")
			second := h.refresh(first.str("refresh_token"))
			second.must(t, http.StatusOK, "")
			third := h.refresh(second.str("refresh_token"))
			third.must(t, http.StatusOK, "")
			sid := h.sid("ann")
			for what, token := range map[string]string{
				"implicit": implicit, "refreshed": third.str("access_token"),
			} {
				h.mustActive(token, true)
				_, request, err := h.provider.IntrospectToken(t.Context(), token, fosite.AccessToken,
					h.newSession(""))
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				session := request.GetSession()
				if fositestore.SessionIDOf(session) != sid || session.GetSubject() != "ann" ||
					tenantOf(session) != "acme" {
					t.Errorf("%s: want sid, subject and the additional value, got %+v", what, session)
				}
			}
			if kind.openID {
				if c := claims(t, third.str("id_token")); c["sid"] != sid || c["sub"] != "ann" {
					t.Errorf("want an ID token with sid and sub, got %v", c)
				}
			}
			h.end("ann")
			h.mustActive(implicit, false)
			h.mustActive(third.str("access_token"), false)
			h.refresh(third.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
		})
	}
}

// JWT access tokens have sid and sub, with every session type that supports them.
func TestEveryJWTSessionCarriesTheSession(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"oauth2.JWTSession", "a type that embeds oauth2.JWTSession", "a type with ID and access token",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, jwtAccessTokens, func(h *host, _ *fositestore.Config) {
				h.newSession = sessionTypes[name].make
			})
			_, first := h.tokens("ann", "scope", "photos offline_access", "audience", "https://api.example/")
			second := h.refresh(first.str("refresh_token"))
			second.must(t, http.StatusOK, "")
			sid := h.sid("ann")
			for _, r := range []*reply{first, second} {
				c := claims(t, r.str("access_token"))
				audience, _ := c["aud"].([]any)
				if c["sid"] != sid || c["sub"] != "ann" || c["iss"] != issuer || len(audience) != 1 ||
					audience[0] != "https://api.example/" {
					t.Errorf("want iss, sub, sid and aud, got %v", c)
				}
			}
			if first.str("access_token") == second.str("access_token") {
				t.Error("the refreshed access token is the old one")
			}
			h.mustActive(first.str("access_token"), false)
			h.mustActive(second.str("access_token"), true)
			h.post("/revoke", url.Values{"token": {second.str("access_token")}}).must(t, http.StatusOK, "")
			h.mustActive(second.str("access_token"), false)
		})
	}
}

// A session too large for a grant is refused at authorization, with an error that names it.
func TestSessionThatIsTooLarge(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.newSession = func(subject string) fosite.Session {
		session, _ := openIDSession(subject).(*openid.DefaultSession)
		session.Claims.Add("much", strings.Repeat("x", 200<<10))
		return session
	}
	r := h.browser().signIn("ann").get("/authorize", authorization())
	if r.redirect.Get("code") != "" || r.redirect.Get("error") != "invalid_request" {
		t.Errorf("want invalid_request, got %d %s %v", r.status, r.body, r.redirect)
	}
}

// passing makes the host pass a different session type at each request.
type passing struct {
	make atomic.Pointer[func(string) fosite.Session]
}

func (p *passing) pass(make func(string) fosite.Session) { p.make.Store(&make) }

func (p *passing) option(h *host, _ *fositestore.Config) {
	h.newSession = func(subject string) fosite.Session { return (*p.make.Load())(subject) }
}

// A token keeps its expiry, whatever session types it was stored and read with: introspection has exp, and
// the token is active until then.
func TestExpiriesSurviveEveryConversion(t *testing.T) {
	t.Parallel()
	const lifespan = 3 * time.Hour
	for made, from := range sessionTypes {
		t.Run(made, func(t *testing.T) {
			t.Parallel()
			var host passing
			host.pass(from.make)
			h := newHost(t, host.option)
			lifespans := fosite.ClientLifespanConfig{}
			for _, d := range []**time.Duration{
				&lifespans.AuthorizationCodeGrantAccessTokenLifespan,
				&lifespans.RefreshTokenGrantAccessTokenLifespan,
				&lifespans.AuthorizationCodeGrantRefreshTokenLifespan,
			} {
				long := lifespan
				*d = &long
			}
			app, _ := h.memory.Clients["app"].(*fosite.DefaultClient)
			h.memory.Clients["app"] = &fosite.DefaultClientWithCustomTokenLifespans{
				DefaultClient: app, TokenLifespans: &lifespans,
			}
			_, r := h.tokens("ann", "scope", "photos offline_access")
			want := time.Now().Add(lifespan)
			for read, to := range sessionTypes {
				host.pass(to.make)
				reply := h.introspect(r.str("access_token"))
				exp, _ := reply.json["exp"].(float64)
				if reply.json["active"] != true || exp < float64(want.Add(-time.Minute).Unix()) ||
					exp > float64(want.Add(time.Minute).Unix()) {
					t.Errorf("read with %s: want exp about %d, got %v", read, want.Unix(), reply.json)
				}
				_, signature, _ := strings.Cut(r.str("refresh_token"), ".")
				request, err := h.sessions.Store().GetRefreshTokenSession(t.Context(), signature, to.make(""))
				if err != nil {
					t.Fatal(err)
				}
				if at := request.GetSession().GetExpiresAt(fosite.RefreshToken); at.Sub(
					want).Abs() > time.Minute {
					t.Errorf("refresh token read with %s: want it to expire at %s, got %s", read, want, at)
				}
			}
		})
	}
}

// A host may pass a different session type at the token endpoint, like fosite's own tests: if an ID token was
// granted, the stored type decides.
func TestTokenEndpointWithASessionWithoutIDToken(t *testing.T) {
	t.Parallel()
	var host passing
	h := newHost(t, host.option)
	b := h.browser().signIn("ann")
	for name, passed := range map[string]func(string) fosite.Session{
		"oauth2.JWTSession":     sessionTypes["oauth2.JWTSession"].make,
		"fosite.DefaultSession": sessionTypes["fosite.DefaultSession"].make,
		"a carrier of its own":  sessionTypes["a SessionIDCarrier of its own"].make,
	} {
		host.pass(openIDSession)
		code := b.code("scope", "openid offline_access")
		host.pass(passed)
		first := h.exchange(code)
		first.must(t, http.StatusOK, "")
		second := h.refresh(first.str("refresh_token"))
		second.must(t, http.StatusOK, "")
		for _, r := range []*reply{first, second} {
			if c := claims(t, r.str("id_token")); c["sub"] != "ann" || c["sid"] != h.sid("ann") {
				t.Errorf("%s: want an ID token of the session, got %v", name, c)
			}
		}
	}
}

// Without a session the stored one is returned, as by fosite's own store.
func TestReadingWithoutASession(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"openid.DefaultSession", "oauth2.JWTSession", "fosite.DefaultSession"} {
		h := newHost(t, func(h *host, _ *fositestore.Config) { h.newSession = sessionTypes[name].make })
		_, r := h.tokens("ann", "scope", "photos offline_access")
		_, access, _ := strings.Cut(r.str("access_token"), ".")
		_, refresh, _ := strings.Cut(r.str("refresh_token"), ".")
		for what, read := range map[string]func() (fosite.Requester, error){
			"access token": func() (fosite.Requester, error) {
				return h.sessions.Store().GetAccessTokenSession(t.Context(), access, nil)
			},
			"refresh token": func() (fosite.Requester, error) {
				return h.sessions.Store().GetRefreshTokenSession(t.Context(), refresh, nil)
			},
		} {
			request, err := read()
			if err != nil {
				t.Fatalf("%s, %s: %v", name, what, err)
			}
			session := request.GetSession()
			if got := fmt.Sprintf("%T", session); got != "*"+name || session.GetSubject() != "ann" ||
				fositestore.SessionIDOf(session) != h.sid("ann") {
				t.Errorf("%s, %s: want the stored session, got %s %+v", name, what, got, session)
			}
		}
	}
}
