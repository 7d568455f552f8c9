package fositestore_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"

	josev3 "github.com/go-jose/go-jose/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// sign returns a JWS with that typ, none where it is empty.
func sign(t *testing.T, key any, algorithm, typ, payload string) string {
	t.Helper()
	options := &jose.SignerOptions{}
	if typ != "" {
		options = options.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key}, options)
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

// Keys that cannot be read just now say nothing of the hint.
func TestHintsWithoutKeysAreUnavailable(t *testing.T) {
	t.Parallel()
	away := errors.New("the key store is away")
	lost := func(context.Context) (any, error) { return nil, away }
	token := sign(t, signingKey(), "ES256", "", `{"iss":"`+issuer+`","sub":"ann","aud":"app"}`)
	for name, hints := range map[string]hostadapter.IDTokenHints{
		"present": fositestore.Hints(lost, nil, issuer),
		"former":  fositestore.Hints(keyOf(signingKey()), func(context.Context) ([]any, error) { return nil, away }, issuer),
	} {
		if _, err := hints.Verify(t.Context(), token); !errors.Is(err, hostadapter.ErrUnavailable) {
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
		"another issuer": sign(t, signingKey(), "ES256", "JWT", `{"iss":"https://other.example","sub":"ann","aud":"app"}`),
		"no subject":     sign(t, signingKey(), "ES256", "JWT", `{"iss":"`+issuer+`","aud":"app"}`),
		"no audience":    sign(t, signingKey(), "ES256", "JWT", `{"iss":"`+issuer+`","sub":"ann"}`),
		// Back-Channel Logout 1.0, section 2.4: a logout token is signed with the same key.
		"a logout token": sign(t, signingKey(), "ES256", "logout+jwt", good),
		"a logout token without its type": sign(t, signingKey(), "ES256", "",
			`{"iss":"`+issuer+`","sub":"ann","aud":"app","events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`),
		"an access token": sign(t, signingKey(), "ES256", "at+jwt", good),
		"alg none":        none, "a shared secret": sign(t, []byte(strings.Repeat("k", 32)), "HS256", "", good),
		"a code": "ory_ac_x.y", "nothing": "", "three dots": "...", "not an object": sign(t, signingKey(), "ES256", "", `[]`),
	} {
		if hint, err := hints.Verify(t.Context(), token); err == nil || errors.Is(err, hostadapter.ErrHintUnverified) {
			t.Errorf("%s: got %+v, %v; want a refusal", name, hint, err)
		}
	}
}

// A key that was rotated out still proves whose a token is, where the host says which it was.
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
			&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: inSet.Public(), KeyID: "2"}}}, plain, nil, []byte("secret"),
		}, nil
	}
	hints := fositestore.Hints(keyOf(signingKey()), former, issuer)
	payload := `{"iss":"` + issuer + `","sub":"ann","aud":["app","other"],"azp":"app"}`
	want := &hostadapter.IDTokenHint{Subject: "ann", Audience: []string{"app", "other"}, AuthorizedParty: "app"}
	for name, key := range map[string]*ecdsa.PrivateKey{"present": signingKey(), "JWK": jwk, "JWK set": inSet, "private key": plain} {
		got, err := hints.Verify(t.Context(), sign(t, key, "ES256", "JWT", payload))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for name, token := range map[string]string{
		"unknown key": sign(t, unknown, "ES256", "JWT", payload), "HMAC with what is no key": sign(t, []byte(strings.Repeat("secret", 9)), "HS256", "JWT", payload),
	} {
		if _, err := hints.Verify(t.Context(), token); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

// An ID token as fosite issues it, with its own header, is a hint.
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
