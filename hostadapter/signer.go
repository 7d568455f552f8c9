package hostadapter

// The signer of logout tokens, with the key of the ID tokens.

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"

	"github.com/fosite-sessions/sessions/hostadapter/internal/tie"
	"github.com/fosite-sessions/sessions/logout"
)

// minRSABits is the minimum size of an RSA key (RFC 7518, sections 3.3 and 3.5).
const minRSABits = 2048

// SigningKey is a private key that signs logout tokens.
type SigningKey struct {
	// Key is an *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey, or a crypto.Signer for such a key
	// (for example in an HSM).
	Key crypto.Signer
	// KeyID is the key's kid in the server's JWKS. It may be empty.
	KeyID string
	// Algorithm is one of RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA. If empty it is derived
	// from the key, RS256 for RSA.
	Algorithm string
}

// keySigner is a logout.Signer.
type keySigner func(ctx context.Context) (SigningKey, error)

// NewSigner returns a signer that calls key for each signature, so that the key can change while the server
// runs. It must be the key that signs ID tokens (Back-Channel Logout 1.0, section 2.4). Signing fails if key
// or algorithm are not asymmetric.
func NewSigner(key func(ctx context.Context) (SigningKey, error)) logout.Signer {
	return keySigner(key)
}

var _ logout.Signer = keySigner(nil)

// Sign returns the claims as a compact JWS of typ "logout+jwt".
func (s keySigner) Sign(ctx context.Context, claims []byte) (string, error) {
	key, err := s(ctx)
	if err != nil {
		return "", fmt.Errorf("hostadapter: getting the signing key: %w", err)
	}
	token, err := key.sign(claims)
	if err != nil {
		return "", fmt.Errorf("hostadapter: signing key %q: %w", key.KeyID, err)
	}
	return token, nil
}

// sign signs after checking that the key fits the algorithm.
func (k *SigningKey) sign(claims []byte) (string, error) {
	if k.Key == nil {
		return "", errors.New("is not set")
	}
	algorithms, err := algorithmsOf(k.Key.Public())
	if err != nil {
		return "", err
	}
	algorithm := cmp.Or(jose.SignatureAlgorithm(k.Algorithm), algorithms[0])
	if !slices.Contains(algorithms, algorithm) {
		return "", fmt.Errorf("does not go with algorithm %q: want one of %v", algorithm, algorithms)
	}
	signing := jose.SigningKey{Algorithm: algorithm, Key: k.Key}
	switch k.Key.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
	default:
		signing.Key = cryptosigner.Opaque(k.Key)
	}
	return tie.Sign(signing, k.KeyID, claims)
}

// algorithmsOf returns the algorithms that fit a key, the default first.
func algorithmsOf(public crypto.PublicKey) ([]jose.SignatureAlgorithm, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("has fewer than %d bits", minRSABits)
		}
		return []jose.SignatureAlgorithm{
			jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		}, nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}, nil
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}, nil
		case elliptic.P521():
			return []jose.SignatureAlgorithm{jose.ES512}, nil
		}
		return nil, errors.New("is on a curve without a JWS algorithm")
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}, nil
	}
	return nil, fmt.Errorf("is a %T: want an RSA, ECDSA or Ed25519 key", public)
}
