package fositestore_test

// JWT assertions as grants, in the fosite server of these tests.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"sync"
	"testing"
	"time"

	josev3 "github.com/go-jose/go-jose/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"
)

const (
	jwtBearer     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// asserting is a client that authenticates by private_key_jwt.
	asserting = "asserting"
	// partner is an issuer of JWT bearer grants, for the subject "ann".
	partner = "https://partner.example"
)

var clientKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

func addAssertingClients(memory *storage.MemoryStore) {
	key := &josev3.JSONWebKey{Key: &clientKey().PublicKey, KeyID: "k", Use: "sig", Algorithm: "ES256"}
	memory.Clients[asserting] = &fosite.DefaultOpenIDConnectClient{
		DefaultClient: &fosite.DefaultClient{
			ID: asserting, RedirectURIs: []string{redirectURI}, GrantTypes: grantTypes,
			ResponseTypes: []string{"code"},
			Scopes:        []string{"openid", "offline_access", "photos"},
		},
		JSONWebKeys:                       &josev3.JSONWebKeySet{Keys: []josev3.JSONWebKey{*key}},
		TokenEndpointAuthMethod:           "private_key_jwt",
		TokenEndpointAuthSigningAlgorithm: "ES256",
	}
	memory.IssuerPublicKeys[partner] = storage.IssuerPublicKeys{
		Issuer: partner, KeysBySub: map[string]storage.SubjectPublicKeys{
			"ann": {
				Subject: "ann",
				Keys: map[string]storage.PublicKeyScopes{
					"k": {Key: key, Scopes: []string{"photos", "offline_access"}},
				},
			},
		}}
}

// assertion returns a JWT of an issuer for a subject, signed by clientKey, with a unique jti.
func assertion(t *testing.T, iss, sub string) string {
	t.Helper()
	var id [16]byte
	_, _ = rand.Read(id[:])
	now := time.Now()
	return assertionWith(t, jwt.Claims{
		Issuer: iss, Subject: sub, Audience: jwt.Audience{issuer + "/token"}, ID: hex.EncodeToString(id[:]),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(5 * time.Minute)),
	})
}

func assertionWith(t *testing.T, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: clientKey()},
		(&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// asserted returns the form of the client that authenticates by private_key_jwt.
func asserted(t *testing.T, form url.Values) url.Values {
	t.Helper()
	form.Set("as", nobody)
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", assertion(t, asserting, asserting))
	return form
}

// again returns a copy of the form, as repeated by the client or an eavesdropper. Sending a form removes its
// field "as".
func again(form url.Values) url.Values {
	twice := url.Values{}
	for name, values := range form {
		twice[name] = values
	}
	return twice
}

// bearerGrant returns a token request with a JWT of the partner.
func bearerGrant(t *testing.T, extra ...string) url.Values {
	t.Helper()
	form := url.Values{
		"grant_type": {jwtBearer}, "assertion": {assertion(t, partner, "ann")}, "scope": {"photos"},
	}
	for i := 0; i+1 < len(extra); i += 2 {
		form.Set(extra[i], extra[i+1])
	}
	return form
}
