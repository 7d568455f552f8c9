package hostadapter_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// hardware is a signer that does not expose its key, like an HSM.
type hardware struct{ key crypto.Signer }

func (h hardware) Public() crypto.PublicKey { return h.key.Public() }
func (h hardware) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return h.key.Sign(random, digest, opts)
}

func signingKey(
	key crypto.Signer, id, algorithm string,
) func(context.Context) (hostadapter.SigningKey, error) {
	return func(context.Context) (hostadapter.SigningKey, error) {
		return hostadapter.SigningKey{Key: key, KeyID: id, Algorithm: algorithm}, nil
	}
}

func keys(t *testing.T) (rsaKey, p256, p384, p521, ed crypto.Signer) {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve := func(c elliptic.Curve) crypto.Signer {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return r, curve(elliptic.P256()), curve(elliptic.P384()), curve(elliptic.P521()), e
}

func TestSigner(t *testing.T) {
	t.Parallel()
	r, p256, p384, p521, ed := keys(t)
	tests := []struct {
		name      string
		key       crypto.Signer
		algorithm string
		want      jose.SignatureAlgorithm
	}{
		{"RSA", r, "", jose.RS256}, {"RS256", r, "RS256", jose.RS256}, {"PS256", r, "PS256", jose.PS256},
		{"ES256", p256, "", jose.ES256}, {"ES384", p384, "", jose.ES384},
		{"ES512", p521, "ES512", jose.ES512},
		{"EdDSA", ed, "", jose.EdDSA}, {"RSA in hardware", hardware{r}, "PS256", jose.PS256},
		{"EC in hardware", hardware{p256}, "", jose.ES256},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			token, err := hostadapter.NewSigner(signingKey(test.key, "k1", test.algorithm)).Sign(t.Context(),
				[]byte(`{"a":1}`))
			if err != nil {
				t.Fatalf("Sign: %v", err)
			}
			parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{test.want})
			if err != nil {
				t.Fatalf("token cannot be parsed as %s: %v", test.want, err)
			}
			payload, err := parsed.Verify(test.key.Public())
			if err != nil || string(payload) != `{"a":1}` {
				t.Errorf("payload %s, error %v; want the claims", payload, err)
			}
			header := parsed.Signatures[0].Protected
			if header.KeyID != "k1" || header.ExtraHeaders["typ"] != "logout+jwt" {
				t.Errorf("header %+v, want kid k1 and typ logout+jwt", header)
			}
		})
	}
}

func TestSignerRefuses(t *testing.T) {
	t.Parallel()
	r, p256, p384, _, _ := keys(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(context.Context) (hostadapter.SigningKey, error){
		"none":          signingKey(r, "", "none"),
		"HMAC":          signingKey(r, "", "HS256"),
		"another curve": signingKey(p384, "", "ES256"),
		"another kind":  signingKey(p256, "", "RS256"),
		"no key":        signingKey(nil, "", ""),
		"a small key":   signingKey(small, "", ""),
		"error": func(context.Context) (hostadapter.SigningKey, error) {
			return hostadapter.SigningKey{}, errors.New("locked")
		},
	}
	for name, key := range tests {
		if token, err := hostadapter.NewSigner(key).Sign(t.Context(), []byte(`{}`)); err == nil ||
			token != "" {
			t.Errorf("%s: token %q, error %v; want an error", name, token, err)
		}
	}
}

func TestSignerRotates(t *testing.T) {
	t.Parallel()
	r, p256, _, _, _ := keys(t)
	current := signingKey(r, "old", "")
	signer := hostadapter.NewSigner(func(ctx context.Context) (hostadapter.SigningKey, error) {
		return current(ctx)
	})
	for _, want := range []string{"old", "new"} {
		token, err := signer.Sign(t.Context(), []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
		if err != nil || parsed.Signatures[0].Protected.KeyID != want {
			t.Errorf("token %s, error %v; want kid %s", token, err, want)
		}
		current = signingKey(p256, "new", "")
	}
}
