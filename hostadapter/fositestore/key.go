package fositestore

// Signing keys of all kinds that fosite accepts.

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	josev3 "github.com/go-jose/go-jose/v3"
	"github.com/go-jose/go-jose/v4"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/internal/tie"
	"github.com/fosite-sessions/sessions/logout"
)

// signingKeys is a logout.Signer with the key that the host passes to fosite, in types of go-jose v3.
type signingKeys struct {
	get   func(ctx context.Context) (any, error)
	keyID string

	signed atomic.Bool // a signature succeeded
}

var _ logout.Signer = (*signingKeys)(nil)

// errNoKey means that the host has no signing key yet, or none at all.
var errNoKey = errors.New("no signing key")

// noKey is the Signer of a server without Config.Key. Notifications stay in the queue with its error.
type noKey struct{}

var _ logout.Signer = noKey{}

// Sign returns errNoKey.
func (noKey) Sign(context.Context, []byte) (string, error) {
	return "", fmt.Errorf("%w: Config.Key is not set", errNoKey)
}

// ready returns nil if logout tokens can be signed, else the reason. After one success it does not try again.
func (k *signingKeys) ready(ctx context.Context) error {
	if k.signed.Load() {
		return nil
	}
	_, err := k.Sign(ctx, []byte("{}"))
	return err
}

// Sign signs with the current key.
func (k *signingKeys) Sign(ctx context.Context, claims []byte) (token string, err error) {
	key, err := k.current(ctx)
	switch {
	case err != nil:
		return "", err
	case key.opaque != nil:
		token, err = key.signOpaque(claims)
	default:
		signer := hostadapter.NewSigner(func(context.Context) (hostadapter.SigningKey, error) {
			return key.SigningKey, nil
		})
		token, err = signer.Sign(ctx, claims)
	}
	if err == nil {
		k.signed.Store(true)
	}
	return token, err
}

// signingKey is a converted host key. opaque is set for a key held elsewhere, such as in an HSM.
type signingKey struct {
	hostadapter.SigningKey
	opaque josev3.OpaqueSigner
}

func (k *signingKeys) current(ctx context.Context) (*signingKey, error) {
	raw, err := k.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: calling Config.Key: %w", errNoKey, err)
	}
	key := &signingKey{SigningKey: hostadapter.SigningKey{KeyID: k.keyID}}
	if err := key.take(raw); err != nil {
		return nil, err
	}
	return key, nil
}

func (k *signingKey) take(raw any) error {
	if isNil(raw) {
		return fmt.Errorf("%w: it is nil", errNoKey)
	}
	if jwk, ok := jwkOf(raw); ok {
		k.KeyID, k.Algorithm = cmp.Or(jwk.KeyID, k.KeyID), jwk.Algorithm
		return k.take(jwk.Key)
	}
	switch key := raw.(type) {
	case crypto.Signer:
		k.Key = key
		return nil
	case josev3.OpaqueSigner:
		k.opaque = key
		if public := key.Public(); public != nil && public.KeyID != "" {
			k.KeyID = public.KeyID
		}
		return nil
	}
	return fmt.Errorf("signing key is a %T: want an RSA, ECDSA or Ed25519 private key, a JSONWebKey or an "+
		"OpaqueSigner", raw)
}

// jwkOf converts a JSON Web Key of either version of go-jose to v4.
func jwkOf(raw any) (*jose.JSONWebKey, bool) {
	switch key := raw.(type) {
	case *jose.JSONWebKey:
		return key, true
	case jose.JSONWebKey:
		return &key, true
	case *josev3.JSONWebKey:
		return jwkOf(*key)
	case josev3.JSONWebKey:
		return &jose.JSONWebKey{Key: key.Key, KeyID: key.KeyID, Algorithm: key.Algorithm, Use: key.Use}, true
	}
	return nil, false
}

// signOpaque signs with an opaque key.
func (k *signingKey) signOpaque(claims []byte) (string, error) {
	signer := opaqueSigner{k.opaque}
	algorithm := jose.SignatureAlgorithm(k.Algorithm)
	if algorithms := signer.Algs(); algorithm == "" && len(algorithms) > 0 {
		algorithm = algorithms[0]
	}
	if !slices.Contains(asymmetric, algorithm) {
		return "", fmt.Errorf("signing key's algorithm %q is not one for ID tokens", algorithm)
	}
	return tie.Sign(jose.SigningKey{Algorithm: algorithm, Key: signer}, k.KeyID, claims)
}

// public returns the public half of the key.
func (k *signingKey) public() (crypto.PublicKey, error) {
	if k.opaque == nil {
		return k.Key.Public(), nil
	}
	public := k.opaque.Public()
	if public == nil {
		return nil, errors.New("signing key has no public half")
	}
	// fosite's own signer expects a private key here.
	if private, ok := public.Key.(crypto.Signer); ok {
		return private.Public(), nil
	}
	return public.Key, nil
}

// opaqueSigner adapts an OpaqueSigner of go-jose v3 to v4.
type opaqueSigner struct{ v3 josev3.OpaqueSigner }

func (s opaqueSigner) Public() *jose.JSONWebKey {
	public := s.v3.Public()
	if public == nil {
		return nil
	}
	converted, _ := jwkOf(public)
	return converted
}

func (s opaqueSigner) Algs() []jose.SignatureAlgorithm {
	list := []jose.SignatureAlgorithm{}
	for _, algorithm := range s.v3.Algs() {
		list = append(list, jose.SignatureAlgorithm(algorithm))
	}
	return list
}

func (s opaqueSigner) SignPayload(payload []byte, algorithm jose.SignatureAlgorithm) ([]byte, error) {
	return s.v3.SignPayload(payload, josev3.SignatureAlgorithm(algorithm))
}

// asymmetric are the algorithms allowed for ID tokens. "none" and shared-secret algorithms are excluded.
var asymmetric = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384,
	jose.ES512, jose.EdDSA,
}
