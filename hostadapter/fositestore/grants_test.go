package fositestore_test

// Grants without a browser: password, client credentials, assertions.

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// named is a host's store whose users have predictable subjects.
type named struct{ *storage.MemoryStore }

func (s named) Authenticate(ctx context.Context, name, secret string) (string, error) {
	if _, err := s.MemoryStore.Authenticate(ctx, name, secret); err != nil {
		return "", err
	}
	return "subject of " + name, nil
}

func knowsUsers(h *host, c *fositestore.Config) { c.Store = named{h.memory} }

func passwordGrant(changes ...string) url.Values {
	form := url.Values{
		"grant_type": {"password"}, "username": {"peter"}, "password": {"secret"},
		"scope": {"photos offline_access"},
	}
	for i := 0; i+1 < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return form
}

// The password grant has a user and no session: its tokens end with the subject.
func TestPasswordGrant(t *testing.T) {
	t.Parallel()
	h := newHost(t, knowsUsers)
	h.post("/token", passwordGrant("password", "wrong")).must(t, http.StatusBadRequest, "invalid_grant")
	first := h.post("/token", passwordGrant())
	first.must(t, http.StatusOK, "")
	shown := h.introspect(first.str("access_token"))
	if shown.str("sub") != "subject of peter" || shown.str("client_id") != "app" ||
		shown.str("scope") != "photos offline_access" {
		t.Errorf("want subject, client and scopes, got %s", shown.body)
	}
	second := h.refresh(first.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	h.mustActive(first.str("access_token"), false)
	h.mustActive(second.str("access_token"), true)
	h.end("subject of peter")
	h.mustActive(second.str("access_token"), false)
	h.refresh(second.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
}

func TestClientCredentials(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	form := url.Values{
		"grant_type": {"client_credentials"}, "scope": {"photos"}, "audience": {"https://api.example/"},
	}
	r := h.post("/token", form)
	r.must(t, http.StatusOK, "")
	shown := h.introspect(r.str("access_token"))
	if shown.json["active"] != true || shown.str("client_id") != "app" || shown.str("scope") != "photos" ||
		shown.json["sub"] != nil {
		t.Errorf("want client and scope and no subject, got %s", shown.body)
	}
	h.post("/revoke", url.Values{"token": {r.str("access_token")}}).must(t, http.StatusOK, "")
	h.mustActive(r.str("access_token"), false)
	for _, wrong := range [][2]string{{"scope", "unknown"}, {"audience", "https://other.example/"}} {
		bad := again(form)
		bad.Set(wrong[0], wrong[1])
		if r := h.post("/token", bad); r.status != http.StatusBadRequest {
			t.Errorf("%v: want 400, got %d %s", wrong, r.status, r.body)
		}
	}
}

// RFC 7523, section 2.1. The grant has a subject and no session: its tokens end with the subject.
func TestJWTBearer(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]string{"with client authentication": "app", "without": nobody} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(h *host, _ *fositestore.Config) {
				h.fosite.GrantTypeJWTBearerCanSkipClientAuth = client == nobody
			})
			form := bearerGrant(t, "as", client)
			r := h.post("/token", again(form))
			r.must(t, http.StatusOK, "")
			if shown := h.introspect(r.str("access_token")); shown.str("sub") != "ann" ||
				shown.str("scope") != "photos" {
				t.Errorf("want subject and scope, got %s", shown.body)
			}
			// An assertion is valid once (RFC 7523, section 3).
			h.post("/token", again(form)).must(t, http.StatusBadRequest, "jti_known")
			h.mustActive(r.str("access_token"), true)
			h.end("ann")
			h.mustActive(r.str("access_token"), false)
			for what, bad := range map[string]url.Values{
				"a scope that the key may not have": bearerGrant(t, "as", client, "scope", "openid"),
				"an unknown issuer": bearerGrant(t, "as", client, "assertion",
					assertion(t, "https://other.example", "ann")),
				"a subject of a different issuer": bearerGrant(t, "as", client, "assertion",
					assertion(t, partner, "bob")),
				"no JWT": bearerGrant(t, "as", client, "assertion", "x.y.z"),
			} {
				if r := h.post("/token", bad); r.status != http.StatusBadRequest {
					t.Errorf("%s: want 400, got %d %s", what, r.status, r.body)
				}
			}
		})
	}
}

func TestJWTBearerRaceHasOneWinner(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	form := bearerGrant(t)
	won := 0
	for _, r := range together(8, func(int) *reply { return h.post("/token", again(form)) }) {
		if r.status == http.StatusOK {
			won++
		} else {
			r.must(t, http.StatusBadRequest, "jti_known")
		}
	}
	if won != 1 {
		t.Errorf("want one winner, got %d", won)
	}
}

func TestJWTBearerWithoutKeys(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(h *host, c *fositestore.Config) { c.Store = clientsOnly{h.memory} })
	h.post("/token", bearerGrant(t)).must(t, http.StatusBadRequest, "unsupported_grant_type")
}

// OpenID Connect Core 1.0, section 9: an assertion is valid once, at every endpoint.
func TestPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser().signIn("ann")
	exchange := func() url.Values {
		code := b.code("client_id", asserting)
		return asserted(t,
			url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}})
	}
	form := exchange()
	r := h.post("/token", again(form))
	r.must(t, http.StatusOK, "")
	if c := claims(t, r.str("id_token")); c["sid"] != h.sid("ann") {
		t.Errorf("want an ID token of the session, got %v", c)
	}
	replayed := exchange()
	replayed.Set("client_assertion", form.Get("client_assertion"))
	h.post("/token", again(replayed)).must(t, http.StatusBadRequest, "jti_known")

	revocation := url.Values{"token": {r.str("refresh_token")}}
	overheard := again(replayed)
	overheard.Set("token", r.str("refresh_token"))
	// fosite would answer 200, as if the token were revoked.
	h.post("/revoke", again(overheard)).must(t, http.StatusBadRequest, "jti_known")
	h.mustActive(r.str("access_token"), true)
	h.post("/revoke", asserted(t, revocation)).must(t, http.StatusOK, "")
	h.mustActive(r.str("access_token"), false)

	push := authorization("client_id", asserting, "client_assertion_type", assertionType, "as", nobody)
	push.Set("client_assertion", form.Get("client_assertion"))
	h.post("/par", again(push)).must(t, http.StatusUnauthorized, "invalid_client")
	pushed := h.post("/par", asserted(t, push))
	pushed.must(t, http.StatusCreated, "")
	answer := b.get("/authorize",
		url.Values{"client_id": {asserting}, "request_uri": {pushed.str("request_uri")}})
	h.post("/token", asserted(t, url.Values{
		"grant_type": {"authorization_code"}, "code": {answer.redirect.Get("code")},
		"redirect_uri": {redirectURI},
	})).must(t, http.StatusOK, "")

	foreign := asserted(t, url.Values{"grant_type": {"client_credentials"}})
	foreign.Set("client_assertion", assertion(t, asserting, "app"))
	if r := h.post("/token", foreign); r.status < http.StatusBadRequest {
		t.Errorf("an assertion for another client: want an error, got %d %s", r.status, r.body)
	}
}

func TestPrivateKeyJWTRaceHasOneWinner(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	form := asserted(t, url.Values{"grant_type": {"client_credentials"}, "scope": {"photos"}})
	won := 0
	for _, r := range together(8, func(int) *reply { return h.post("/token", again(form)) }) {
		if r.status == http.StatusOK {
			won++
		} else {
			r.must(t, http.StatusBadRequest, "jti_known")
		}
	}
	if won != 1 {
		t.Errorf("want one winner, got %d", won)
	}
}

// A scope that matches a client's wildcard may contain any bytes, and so may a path below an audience.
func TestScopesAndAudiencesOfOtherTypes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser().signIn("ann")
	r := h.exchange(b.code("scope", "openid offline_access albums.\xff\xfe", "audience",
		"https://api.example/\xff"))
	r.must(t, http.StatusOK, "")
	second := h.refresh(r.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	_, request, err := h.provider.IntrospectToken(t.Context(), second.str("access_token"), fosite.AccessToken,
		h.newSession(""))
	if err != nil || !request.GetGrantedScopes().Has("albums.\xff\xfe") {
		t.Errorf("want the granted scope, got %v, %v", request, err)
	}
}
