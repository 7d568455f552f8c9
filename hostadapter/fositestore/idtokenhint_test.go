package fositestore_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	josev3 "github.com/go-jose/go-jose/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// sign returns a JWS with that typ, or without typ if it is empty.
func sign(t *testing.T, key any, algorithm, typ, payload string) string {
	t.Helper()
	options := &jose.SignerOptions{}
	if typ != "" {
		options = options.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key},
		options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// If the keys are temporarily unavailable, the hint is not judged.
func TestHintsWithoutKeysAreUnavailable(t *testing.T) {
	t.Parallel()
	away := errors.New("the key store is unavailable")
	lost := func(context.Context) (any, error) { return nil, away }
	token := sign(t, signingKey(), "ES256", "", `{"iss":"`+issuer+`","sub":"ann","aud":"app"}`)
	for name, hints := range map[string]hostadapter.IDTokenHints{
		"present": fositestore.Hints(lost, nil, issuer),
		"former": fositestore.Hints(keyOf(signingKey()), func(context.Context) ([]any, error) {
			return nil, away
		}, issuer),
	} {
		if _, err := hints.Verify(t.Context(), token); !errors.Is(err, ticketstore.ErrUnavailable) {
			t.Errorf("%s: got %v, want ErrUnavailable", name, err)
		}
	}
}

// RP-Initiated Logout 1.0, section 2: the OP MUST validate that it was the issuer of the ID token.
func TestRPInitiatedLogout_2_HintsThatAreNotIDTokensOfThisServer(t *testing.T) {
	t.Parallel()
	hints := fositestore.Hints(keyOf(signingKey()), nil, issuer)
	good := `{"iss":"` + issuer + `","sub":"ann","aud":"app"}`
	none := "eyJhbGciOiJub25lIn0." + strings.Split(sign(t, signingKey(), "ES256", "", good), ".")[1] + "."
	for name, token := range map[string]string{
		"another issuer": sign(t, signingKey(), "ES256", "JWT",
			`{"iss":"https://other.example","sub":"ann","aud":"app"}`),
		"no subject":  sign(t, signingKey(), "ES256", "JWT", `{"iss":"`+issuer+`","aud":"app"}`),
		"no audience": sign(t, signingKey(), "ES256", "JWT", `{"iss":"`+issuer+`","sub":"ann"}`),
		// Back-Channel Logout 1.0, section 2.4: a logout token is signed with the same key.
		"a logout token": sign(t, signingKey(), "ES256", "logout+jwt", good),
		"a logout token without its type": sign(t, signingKey(), "ES256", "",
			`{"iss":"`+issuer+`","sub":"ann","aud":"app","events":{"http://schemas.openid.net/event/`+
				`backchannel-logout":{}}}`),
		"an access token":                  sign(t, signingKey(), "ES256", "at+jwt", good),
		"an access token by the long type": sign(t, signingKey(), "ES256", "application/at+jwt", good),
		"an access token by its scp": sign(t, signingKey(), "ES256", "JWT",
			with(good, `"scp":["openid"]`)),
		"an access token with an empty scp": sign(t, signingKey(), "ES256", "", with(good, `"scp":null`)),
		"an access token by its scope": sign(t, signingKey(), "ES256", "JWT",
			with(good, `"scope":"openid"`)),
		"an access token by its client_id": sign(t, signingKey(), "ES256", "JWT",
			with(good, `"client_id":"app"`)),
		"an audience that is no client": sign(t, signingKey(), "ES256", "JWT",
			`{"iss":"`+issuer+`","sub":"ann","aud":["https://api.example/"]}`),
		"an empty audience": sign(t, signingKey(), "ES256", "JWT",
			`{"iss":"`+issuer+`","sub":"ann","aud":[],"azp":"app"}`),
		"an azp that is no client": sign(t, signingKey(), "ES256", "JWT",
			with(good, `"azp":"gone"`)),
		"alg none":        none,
		"a shared secret": sign(t, []byte(strings.Repeat("k", 32)), "HS256", "", good),
		"a code":          "ory_ac_x.y", "nothing": "", "three dots": "...",
		"not an object": sign(t, signingKey(), "ES256", "", `[]`),
	} {
		if hint, err := hints.Verify(t.Context(), token); err == nil ||
			errors.Is(err, hostadapter.ErrHintUnverified) {
			t.Errorf("%s: got %+v, %v; want a refusal", name, hint, err)
		}
	}
}

// with returns a JSON object with an additional member.
func with(object, member string) string { return strings.TrimSuffix(object, "}") + "," + member + "}" }

// If a client cannot be looked up, the hint is not judged.
func TestHintsWithoutClientsAreUnavailable(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(h *host, c *fositestore.Config) { c.Store = lostClients{h.memory} })
	b := h.browser().signIn("ann")
	hint := sign(t, signingKey(), "ES256", "JWT", `{"iss":"`+issuer+`","sub":"ann","aud":"lost"}`)
	if r := b.endSession(http.MethodGet,
		url.Values{"id_token_hint": {hint}}); r.status != http.StatusServiceUnavailable {
		t.Errorf("end session: want 503, got %d %s", r.status, r.body)
	}
	if r := b.get("/authorize",
		authorization("id_token_hint", hint)); r.status != http.StatusServiceUnavailable {
		t.Errorf("authorize: want 503, got %d %s", r.status, r.body)
	}
	b.mustBe("ann")
}

// lostClients cannot look up the client "lost".
type lostClients struct{ *storage.MemoryStore }

func (s lostClients) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	if id == "lost" {
		return nil, errors.New("the database is unavailable")
	}
	return s.MemoryStore.GetClient(ctx, id)
}

// A JWT access token is signed by the same key as ID tokens and has the same iss, sub and sid. Resource
// servers get it, and must not be able to sign the user out with it.
func TestAccessTokenIsNoHint(t *testing.T) {
	t.Parallel()
	h := newHost(t, jwtAccessTokens, func(h *host, _ *fositestore.Config) { h.newSession = newJWTSession })
	for name, changes := range map[string][]string{
		"for an API": {"audience", "https://api.example/"}, "for a client": {"audience", "app"},
		"without audience": nil,
	} {
		if client, ok := h.memory.Clients["app"].(*fosite.DefaultClient); ok {
			client.Audience = []string{"https://api.example/", "app"}
		}
		b, r := h.tokens("ann", changes...)
		access, id := r.str("access_token"), r.str("id_token")
		stranger := h.browser()
		for _, browser := range []*browser{b, stranger} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				got := browser.endSession(method, url.Values{"id_token_hint": {access}})
				if got.status == http.StatusSeeOther { // a POST without a cookie is redirected to a GET
					got = h.read(browser.client.Get(h.server.URL + "/end_session" +
						got.header.Get("Location")))
				}
				got.must(t, http.StatusBadRequest, "")
			}
		}
		b.mustBe("ann")
		h.mustActive(access, true)
		if got := b.get("/authorize",
			authorization("id_token_hint", access)); got.redirect.Get("error") != "invalid_request" {
			t.Errorf("%s: authorize with an access token as hint: want invalid_request, got %d %v", name,
				got.status, got.redirect)
		}
		if got := b.get("/authorize", authorization("id_token_hint", id)); got.redirect.Get("code") == "" {
			t.Errorf("%s: authorize with an ID token as hint: want a code, got %d %v", name, got.status,
				got.redirect)
		}
		if got := b.endSession(http.MethodGet,
			url.Values{"id_token_hint": {id}}); got.status != http.StatusOK {
			t.Errorf("%s: sign-out by an ID token: %d %s", name, got.status, got.body)
		}
		b.mustBe("")
	}
}

// A token signed by a rotated key is accepted if the host configures the key.
func TestHintsOfFormerKeys(t *testing.T) {
	t.Parallel()
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	jwk, inSet, plain, unknown := newKey(), newKey(), newKey(), newKey()
	former := func(context.Context) ([]any, error) {
		return []any{
			&josev3.JSONWebKey{Key: jwk.Public(), KeyID: "1"},
			&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: inSet.Public(), KeyID: "2"}}}, plain, nil,
			[]byte("secret"),
		}, nil
	}
	hints := fositestore.Hints(keyOf(signingKey()), former, issuer)
	payload := `{"iss":"` + issuer + `","sub":"ann","aud":["app","other"],"azp":"app"}`
	want := &hostadapter.IDTokenHint{
		Subject: "ann", Audience: []string{"app", "other"}, AuthorizedParty: "app",
	}
	for name, key := range map[string]*ecdsa.PrivateKey{
		"present": signingKey(), "JWK": jwk, "JWK set": inSet, "private key": plain,
	} {
		got, err := hints.Verify(t.Context(), sign(t, key, "ES256", "JWT", payload))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for name, token := range map[string]string{
		"unknown key":              sign(t, unknown, "ES256", "JWT", payload),
		"HMAC with an invalid key": sign(t, []byte(strings.Repeat("secret", 9)), "HS256", "JWT", payload),
	} {
		if _, err := hints.Verify(t.Context(), token); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

// An ID token issued by fosite, with its own header, is a valid hint.
func TestIDTokenOfAFlowIsAHint(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, r := h.tokens("ann")
	r.must(t, http.StatusOK, "")
	hint, err := fositestore.Hints(keyOf(signingKey()), nil, issuer).Verify(t.Context(), r.str("id_token"))
	want := &hostadapter.IDTokenHint{Subject: "ann", SessionID: h.sid("ann"), Audience: []string{"app"}}
	if diff := cmp.Diff(want, hint); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
