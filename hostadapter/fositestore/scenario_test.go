package fositestore_test

// Whole flows of clients of each kind.

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// The scenarios of fosite's own storage tests, on this store: their expectations must not depend on the
// store.

const audienceOfAPI = "https://api.example/"

// refused checks an authorization that must end with an error at the client.
func (b *browser) refused(errorCode string, changes ...string) {
	b.h.t.Helper()
	r := b.get("/authorize", authorization(changes...))
	if r.redirect.Get("error") != errorCode || r.redirect.Get("code") != "" ||
		r.redirect.Get("access_token") != "" {
		b.h.t.Errorf("%v: want %s, got %d %s %v", changes, errorCode, r.status, r.body, r.redirect)
	}
}

// add registers a client like "app" with modifications.
func (h *host) add(id string, change func(*fosite.DefaultClient)) *fosite.DefaultClient {
	app, _ := h.memory.Clients["app"].(*fosite.DefaultClient)
	client := *app
	client.ID = id
	change(&client)
	h.memory.Clients[id] = &client
	return &client
}

func TestScenarioCode(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser().signIn("ann")
	b.refused("invalid_request", "audience", "https://other.example/")
	b.refused("invalid_scope", "scope", "openid unknown")
	b.refused("invalid_state", "state", "short")
	b.refused("unsupported_response_type", "response_type", "code unknown")
	r := h.exchange(b.code("audience", audienceOfAPI, "scope", "photos"))
	r.must(t, http.StatusOK, "")
	shown := h.introspect(r.str("access_token"))
	if audience, _ := shown.json["aud"].([]any); len(audience) != 1 || audience[0] != audienceOfAPI ||
		shown.str("sub") != "ann" || shown.str("scope") != "photos" {
		t.Errorf("want audience, subject and scope, got %s", shown.body)
	}
	if r.str("refresh_token") != "" || r.str("id_token") != "" {
		t.Errorf("want neither a refresh token nor an ID token, which were not requested, got %s", r.body)
	}
	h.exchange(b.code(), "as", "other").must(t, http.StatusBadRequest, "invalid_grant")
	h.exchange(b.code(), "redirect_uri", "https://app.example/other").must(t, http.StatusBadRequest,
		"invalid_grant")
}

func TestScenarioPublicClientAndPKCE(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(h *host, _ *fositestore.Config) { h.fosite.EnforcePKCEForPublicClients = true })
	h.add("public", func(c *fosite.DefaultClient) { c.Public, c.Secret = true, nil })
	verifier := strings.Repeat("v", 43)
	b := h.browser().signIn("ann")
	b.refused("invalid_request", "client_id", "public")
	b.refused("invalid_request", "client_id", "public", "response_type", "code id_token")
	for _, responseType := range []string{"code", "code id_token", "code id_token token"} {
		challenge := []string{
			"client_id", "public", "code_challenge", verifier, "code_challenge_method", "plain",
			"response_type", responseType,
		}
		exchange := func(code, verifier string) *reply {
			return h.exchange(code, "as", nobody, "client_id", "public", "code_verifier", verifier)
		}
		exchange(b.code(challenge...), strings.Repeat("w", 43)).must(t, http.StatusBadRequest,
			"invalid_grant")
		exchange(b.code(challenge...), "").must(t, http.StatusBadRequest, "invalid_grant")
		r := exchange(b.code(challenge...), verifier)
		r.must(t, http.StatusOK, "")
		if c := claims(t, r.str("id_token")); c["sid"] != h.sid("ann") {
			t.Errorf("%s: want an ID token of the session, got %v", responseType, c)
		}
		refresh := url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {r.str("refresh_token")},
			"client_id": {"public"}, "as": {nobody},
		}
		h.post("/token", refresh).must(t, http.StatusOK, "")
	}
}

func TestScenarioImplicitAndHybrid(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser().signIn("ann")
	for _, responseType := range frontResponseTypes {
		b.refused("invalid_scope", "response_type", responseType, "scope", "openid unknown")
		b.refused("invalid_request", "response_type", responseType, "audience", "https://other.example/")
		r := b.get("/authorize",
			authorization("response_type", responseType, "audience", audienceOfAPI)).redirect
		for parameter, part := range map[string]string{
			"access_token": "token", "id_token": "id_token", "code": "code",
		} {
			if got, want := r.Has(parameter), fosite.Arguments(strings.Fields(responseType)).Has(part); got !=
				want {
				t.Errorf("%s: %s is there: %v, want %v in %v", responseType, parameter, got, want, r)
			}
		}
		if token := r.Get("id_token"); token != "" {
			if c := claims(t, token); c["sid"] != h.sid("ann") || c["nonce"] != nonce ||
				(r.Has("access_token") && c["at_hash"] == nil) ||
				(r.Has("code") && c["c_hash"] == nil) {
				t.Errorf("%s: want sid, nonce and the hashes, got %v", responseType, c)
			}
			b.refused("invalid_request", "response_type", responseType, "nonce", "")
			b.refused("insufficient_entropy", "response_type", responseType, "nonce", "short")
		}
		if token := r.Get("access_token"); token != "" {
			if audience, _ := h.introspect(token).json["aud"].([]any); len(audience) != 1 ||
				audience[0] != audienceOfAPI {
				t.Errorf("%s: want the audience, got %v", responseType, audience)
			}
		}
	}
}

// postedField returns a field of fosite's form_post page.
var postedField = regexp.MustCompile(`name="([a-z_]+)" value="([^"]*)"`)

func TestScenarioResponseModes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	app, _ := h.memory.Clients["app"].(*fosite.DefaultClient)
	modes := []fosite.ResponseModeType{
		fosite.ResponseModeQuery, fosite.ResponseModeFragment, fosite.ResponseModeFormPost,
	}
	h.memory.Clients["modes"] = &fosite.DefaultResponseModeClient{
		DefaultClient: h.add("modes", func(c *fosite.DefaultClient) {
			*c = *app
			c.ID = "modes"
		}), ResponseModes: modes,
	}
	b := h.browser().signIn("ann")
	if r := b.get("/authorize", authorization("response_mode", "form_post")); !strings.Contains(r.body,
		"unsupported_response_mode") {
		t.Errorf("a client that may not have it: got %d %s", r.status, r.body)
	}
	for _, responseType := range append([]string{"code"}, frontResponseTypes...) {
		if responseType != "code" {
			r := b.get("/authorize",
				authorization("client_id", "modes", "response_type", responseType, "response_mode", "query"))
			if r.redirect.Get("access_token") != "" || r.redirect.Get("id_token") != "" ||
				r.redirect.Get("error") == "" {
				t.Errorf("%s in a query: want it refused, got %d %s %v", responseType, r.status, r.body,
					r.redirect)
			}
		}
		r := b.get("/authorize",
			authorization("client_id", "modes", "response_type", responseType, "response_mode", "form_post"))
		posted := url.Values{}
		for _, field := range postedField.FindAllStringSubmatch(html.UnescapeString(r.body), -1) {
			posted.Set(field[1], field[2])
		}
		if r.status != http.StatusOK || posted.Get("state") != state || posted.Get("error") != "" {
			t.Fatalf("%s by form_post: got %d %s", responseType, r.status, r.body)
		}
		if code := posted.Get("code"); code != "" {
			h.exchange(code, "as", "modes").must(t, http.StatusOK, "")
		}
		if token := posted.Get("access_token"); token != "" {
			h.mustActive(token, true)
		}
	}
	failed := b.get("/authorize",
		authorization("client_id", "modes", "response_mode", "form_post", "scope", "unknown"))
	if !strings.Contains(failed.body, "invalid_scope") {
		t.Errorf("an error by form_post: got %d %s", failed.status, failed.body)
	}
}

func TestScenarioRefresh(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	narrowing := h.add("narrowing", func(*fosite.DefaultClient) {})
	b := h.browser().signIn("ann")
	tokens := func(changes ...string) *reply {
		t.Helper()
		r := h.exchange(b.code(append([]string{"client_id", "narrowing"}, changes...)...), "as", "narrowing")
		r.must(t, http.StatusOK, "")
		return r
	}
	refresh := func(r *reply) *reply {
		return h.post("/token",
			url.Values{
				"grant_type": {"refresh_token"}, "refresh_token": {r.str("refresh_token")},
				"as": {"narrowing"},
			})
	}
	plain := tokens("scope", "offline_access")
	again := refresh(plain)
	again.must(t, http.StatusOK, "")
	if again.str("id_token") != "" || again.str("access_token") == plain.str("access_token") ||
		again.str("refresh_token") == plain.str("refresh_token") {
		t.Errorf("want new tokens and no ID token, got %s after %s", again.body, plain.body)
	}
	full := tokens("audience", audienceOfAPI)
	before := h.introspect(full.str("access_token"))
	again = refresh(full)
	again.must(t, http.StatusOK, "")
	after := h.introspect(again.str("access_token"))
	for _, field := range []string{"active", "client_id", "scope", "sub"} {
		if before.json[field] != after.json[field] {
			t.Errorf("%s was %v and is %v", field, before.json[field], after.json[field])
		}
	}
	if audience, _ := after.json["aud"].([]any); len(audience) != 1 ||
		again.str("id_token") == full.str("id_token") {
		t.Errorf("want the audience kept and another ID token, got %s", after.body)
	}
	h.refresh(again.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant") // another client's

	// A scope or audience that a client may no longer request is not refreshed until it is allowed again.
	withScope, withAudience := tokens("scope", "photos offline_access"), tokens("audience", audienceOfAPI)
	scopes := narrowing.Scopes
	narrowing.Scopes = []string{"openid", "offline_access"}
	refresh(withScope).must(t, http.StatusBadRequest, "invalid_scope")
	narrowing.Scopes, narrowing.Audience = scopes, []string{"https://other.example/"}
	refresh(withAudience).must(t, http.StatusBadRequest, "invalid_request")
	narrowing.Audience = []string{audienceOfAPI}
	refresh(withScope).must(t, http.StatusOK, "")
	refresh(withAudience).must(t, http.StatusOK, "")
}

func TestScenarioLifespans(t *testing.T) {
	t.Parallel()
	days := func(n int) *time.Duration { d := time.Duration(n) * 24 * time.Hour; return &d }
	h := newHost(t, knowsUsers)
	h.memory.Clients["lasting"] = &fosite.DefaultClientWithCustomTokenLifespans{
		DefaultClient: h.add("lasting", func(*fosite.DefaultClient) {}),
		TokenLifespans: &fosite.ClientLifespanConfig{
			AuthorizationCodeGrantAccessTokenLifespan:  days(2),
			AuthorizationCodeGrantRefreshTokenLifespan: days(3),
			RefreshTokenGrantAccessTokenLifespan:       days(4),
			RefreshTokenGrantRefreshTokenLifespan:      days(5),
			ClientCredentialsGrantAccessTokenLifespan:  days(6), PasswordGrantAccessTokenLifespan: days(7),
			PasswordGrantRefreshTokenLifespan: days(8),
			ImplicitGrantAccessTokenLifespan:  days(9), JwtBearerGrantAccessTokenLifespan: days(10),
		},
	}
	must := func(what, token string, days int) {
		t.Helper()
		_, request, err := h.provider.IntrospectToken(t.Context(), token, fosite.AccessToken,
			h.newSession(""))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		kind := fosite.AccessToken
		if strings.HasPrefix(token, "ory_rt_") {
			kind = fosite.RefreshToken
		}
		want := time.Now().Add(time.Duration(days) * 24 * time.Hour)
		if got := request.GetSession().GetExpiresAt(kind); got.Before(want.Add(-10*time.Minute)) ||
			got.After(want.Add(10*time.Minute)) {
			t.Errorf("%s: it expires %v, want %d days from now", what, got, days)
		}
	}
	as := func(form url.Values) url.Values { form.Set("as", "lasting"); return form }
	b := h.browser().signIn("ann")
	first := h.exchange(b.code("client_id", "lasting"), "as", "lasting")
	must("access token", first.str("access_token"), 2)
	must("refresh token", first.str("refresh_token"), 3)
	second := h.post("/token",
		as(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.str("refresh_token")}}))
	must("refreshed access token", second.str("access_token"), 4)
	must("refreshed refresh token", second.str("refresh_token"), 5)
	must("client credentials",
		h.post("/token", as(url.Values{"grant_type": {"client_credentials"}})).str("access_token"), 6)
	password := h.post("/token", as(passwordGrant()))
	must("password", password.str("access_token"), 7)
	must("password's refresh token", password.str("refresh_token"), 8)
	implicit := b.get("/authorize", authorization("client_id", "lasting", "response_type", "token")).redirect
	must("implicit", implicit.Get("access_token"), 9)
	must("JWT bearer", h.post("/token", bearerGrant(t, "as", "lasting")).str("access_token"), 10)
}

func TestScenarioRefreshTokensThatExpireAtOnceOrNever(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lifespan time.Duration
		expires  bool
	}{"at once": {time.Nanosecond, true}, "in a minute": {time.Minute, false}, "never": {-1, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(h *host, _ *fositestore.Config) {
				h.fosite.RefreshTokenLifespan = test.lifespan
			})
			_, r := h.tokens("ann")
			if !test.expires {
				h.refresh(r.str("refresh_token")).must(t, http.StatusOK, "")
				return
			}
			testenv.Eventually(t, "the token has expired, up to half a second later: fosite rounds",
				func() bool {
					return h.introspect(r.str("refresh_token")).json["active"] == false
				})
			h.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
		})
	}
}

func TestPushedAuthorization(t *testing.T) {
	t.Parallel()
	eachStorage(t, testPushedAuthorization)
}

func testPushedAuthorization(t *testing.T, composed option) {
	h := newHost(t, composed)
	r := h.post("/par", authorization("client_secret", secret))
	r.must(t, http.StatusCreated, "")
	b := h.browser().signIn("ann")
	query := url.Values{"client_id": {"app"}, "request_uri": {r.str("request_uri")}}
	stored, err := h.sessions.Store().GetPARSession(t.Context(), r.str("request_uri"))
	if err != nil || stored.GetSession() != nil || stored.GetRequestForm().Has("client_secret") ||
		stored.GetState() != state {
		t.Errorf("want the request without session and client secret, got %v, %v", stored, err)
	}
	// A second request runs between the first one's read and delete.
	var between *reply
	before := func() {
		h.backend.grants.before.Store(nil)
		between = b.get("/authorize", query)
	}
	h.backend.grants.before.Store(&before)
	if late := b.get("/authorize", query); late.redirect.Get("code") != "" ||
		late.redirect.Get("error") != "invalid_request_uri" {
		t.Errorf("want invalid_request_uri for the slower of two, got %d %s %v", late.status, late.body,
			late.redirect)
	}
	h.exchange(between.redirect.Get("code")).must(t, http.StatusOK, "")
	if again := b.get("/authorize", query); again.redirect.Get("code") != "" {
		t.Error("a pushed request was valid for two codes")
	}
}

func TestScenarioPushedAuthorization(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser().signIn("ann")
	h.post("/par", authorization("audience", "https://other.example/")).must(t, http.StatusBadRequest,
		"invalid_request")
	h.post("/par", authorization("scope", "openid unknown")).must(t, http.StatusBadRequest, "invalid_scope")
	h.post("/par", authorization("redirect_uri", "https://evil.example/")).must(t, http.StatusBadRequest,
		"invalid_request")
	h.post("/par", authorization("request_uri", "urn:ietf:params:oauth:request_uri:x")).must(t,
		http.StatusBadRequest, "invalid_request")
	pushed := h.post("/par", authorization("audience", audienceOfAPI, "response_type", "code id_token"))
	pushed.must(t, http.StatusCreated, "")
	if !strings.HasPrefix(pushed.str("request_uri"), "urn:ietf:params:oauth:request_uri:") ||
		pushed.json["expires_in"] != 300.0 {
		t.Errorf("want a request_uri for five minutes, got %s", pushed.body)
	}
	// Other parameters next to the request_uri are ignored (RFC 9126, section 4).
	r := b.get("/authorize",
		url.Values{
			"client_id": {"app"}, "request_uri": {pushed.str("request_uri")}, "scope": {"photos"},
			"state": {"other-state"},
		}).redirect
	if r.Get("state") != state || claims(t, r.Get("id_token"))["nonce"] != nonce {
		t.Errorf("want state and nonce as they were pushed, got %v", r)
	}
	tokens := h.exchange(r.Get("code"))
	tokens.must(t, http.StatusOK, "")
	if audience, _ := h.introspect(tokens.str("access_token")).json["aud"].([]any); len(audience) != 1 ||
		audience[0] != audienceOfAPI {
		t.Errorf("want the audience, got %v", audience)
	}
	foreign := h.post("/par", authorization())
	if r := b.get("/authorize",
		url.Values{
			"client_id": {"other"}, "request_uri": {foreign.str("request_uri")},
		}); r.redirect.Get("code") != "" {
		t.Error("another client used the pushed request")
	}
}

// An assertion without jti cannot be marked as used; if the server allows it, it is valid until it expires.
func TestScenarioJWTBearerWithoutJTI(t *testing.T) {
	t.Parallel()
	for name, optional := range map[string]bool{"required": false, "optional": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(h *host, _ *fositestore.Config) {
				h.fosite.GrantTypeJWTBearerIDOptional = optional
			})
			form := bearerGrant(t, "assertion", assertionWith(t, map[string]any{
				"iss": partner, "sub": "ann", "aud": issuer + "/token", "iat": time.Now().Unix(),
				"exp": time.Now().Add(time.Minute).Unix(),
			}))
			want := http.StatusBadRequest
			if optional {
				want = http.StatusOK
			}
			for range 2 {
				if r := h.post("/token", again(form)); r.status != want {
					t.Errorf("want %d, got %d %s", want, r.status, r.body)
				}
			}
		})
	}
}

// Resource servers that verify JWTs offline do not learn of the end of a session, as documented.
func TestScenarioStatelessIntrospection(t *testing.T) {
	t.Parallel()
	h := newHost(t, jwtAccessTokens, func(h *host, _ *fositestore.Config) { h.newSession = newJWTSession })
	_, r := h.tokens("ann")
	stateless := &fosite.Config{}
	key := keyOf(signingKey())
	offline := compose.Compose(stateless, h.memory, &jwt.DefaultSigner{GetPrivateKey: key},
		compose.OAuth2StatelessJWTIntrospectionFactory)
	h.end("ann")
	h.mustActive(r.str("access_token"), false)
	if _, _, err := offline.IntrospectToken(t.Context(), r.str("access_token"), fosite.AccessToken,
		newJWTSession("")); err != nil {
		t.Errorf("a JWT checked offline before its exp: %v", err)
	}
}
