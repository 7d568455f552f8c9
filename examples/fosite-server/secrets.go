package main

// Client secrets.

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"

	"github.com/ory/fosite"
)

// secretHasher hashes client secrets with a per-process key. The secrets are in plain text in the file read
// at start, so a slow hash would protect nothing, and fosite compares one on every token request. It is a
// fosite.Hasher.
type secretHasher struct{ key []byte }

var _ fosite.Hasher = secretHasher{}

func newSecretHasher() secretHasher {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return secretHasher{key: key}
}

func (h secretHasher) sum(secret []byte) []byte {
	mac := hmac.New(sha256.New, h.key)
	mac.Write(secret)
	return mac.Sum(nil)
}

// Hash returns the hash of a secret.
func (h secretHasher) Hash(_ context.Context, secret []byte) ([]byte, error) {
	return h.sum(secret), nil
}

// Compare returns an error unless hash is the hash of secret. It takes constant time.
func (h secretHasher) Compare(_ context.Context, hash, secret []byte) error {
	if len(secret) == 0 || !hmac.Equal(hash, h.sum(secret)) {
		return errors.New("client secret is wrong")
	}
	return nil
}

// String returns [redacted].
func (secretHasher) String() string { return "[redacted]" }

// GoString returns [redacted].
func (secretHasher) GoString() string { return "[redacted]" }
