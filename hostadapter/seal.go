package hostadapter

// Sealing: XChaCha20-Poly1305 with rotating keys, bound to purpose and id.

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// ErrSealed means that a record cannot be opened: it was sealed with a key that is no longer in Config.Keys,
// or for a different purpose or id, or was changed. The record is kept: it can be opened once the key is
// restored.
var ErrSealed = errors.New("sealed record cannot be opened")

// Two kinds of ErrSealed that restoring a key does not fix.
var (
	// ErrChanged means that a record was changed after sealing, or substituted for a different one.
	ErrChanged = fmt.Errorf("%w: changed, or not what it is taken for", ErrSealed)
	// ErrFormerSeal means that an earlier release sealed the record without binding it to everything it
	// belongs to. See Config.UnboundUntil.
	ErrFormerSeal = fmt.Errorf("%w: an earlier release sealed it, and Config.UnboundUntil does not accept "+
		"that now", ErrSealed)
)

const (
	sealVersion  = 1
	sealKeyID    = 4
	sealOverhead = 1 + sealKeyID + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
)

// keyRing seals with its first key and opens with any key. A sealed value consists of version, key id, nonce
// and ciphertext; the version, key id, purpose and id are associated data, so that it cannot be substituted
// for a different one.
type keyRing struct {
	keys []sealKey
}

// keyID identifies a key. It is public: each sealed record contains the id of its key.
type keyID [sealKeyID]byte

type sealKey struct {
	id   keyID
	aead cipher.AEAD
	// nonces is the key from which deterministic nonces are derived.
	nonces []byte
}

func newKeyRing(secrets [][]byte) (*keyRing, error) {
	ring := &keyRing{}
	for _, secret := range secrets {
		// A longer output has a shorter one as its prefix (RFC 5869, section 2.3).
		raw, err := hkdf.Key(sha256.New, secret, nil, "fosite-sessions sealing key v1",
			chacha20poly1305.KeySize+sealKeyID+sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("deriving a sealing key: %w", err)
		}
		aead, err := chacha20poly1305.NewX(raw[:chacha20poly1305.KeySize])
		if err != nil {
			return nil, fmt.Errorf("deriving a sealing key: %w", err)
		}
		ring.keys = append(ring.keys, sealKey{
			id: keyID(raw[chacha20poly1305.KeySize:]), aead: aead,
			nonces: raw[chacha20poly1305.KeySize+sealKeyID:],
		})
	}
	return ring, nil
}

func (k *keyRing) seal(purpose string, id, plaintext []byte) []byte {
	var nonce [chacha20poly1305.NonceSizeX]byte
	rand.Read(nonce[:]) // never returns an error
	return k.sealUnder(nonce[:], purpose, id, plaintext)
}

// sealSame is a deterministic seal: the result is the same until the first key changes. Equal results reveal
// only that the same value was sealed: the nonce is a keyed hash of it.
func (k *keyRing) sealSame(purpose string, plaintext []byte) []byte {
	mac := hmac.New(sha256.New, k.keys[0].nonces)
	mac.Write(sealContext(nil, purpose, plaintext))
	return k.sealUnder(mac.Sum(nil)[:chacha20poly1305.NonceSizeX], purpose, nil, plaintext)
}

func (k *keyRing) sealUnder(nonce []byte, purpose string, id, plaintext []byte) []byte {
	key := k.keys[0]
	out := make([]byte, 0, sealOverhead+len(plaintext))
	out = append(append(out, sealVersion), key.id[:]...)
	header := out
	return key.aead.Seal(append(out, nonce...), nonce, plaintext, sealContext(header, purpose, id))
}

func (k *keyRing) unseal(purpose string, id, sealed []byte) ([]byte, error) {
	if len(sealed) < sealOverhead {
		return nil, fmt.Errorf("%s: %w: too short", purpose, ErrChanged)
	}
	if sealed[0] != sealVersion {
		return nil, fmt.Errorf("%s: %w: format %d is unknown", purpose, ErrSealed, sealed[0])
	}
	header, rest := sealed[:1+sealKeyID], sealed[1+sealKeyID:]
	nonce, ciphertext := rest[:chacha20poly1305.NonceSizeX], rest[chacha20poly1305.NonceSizeX:]
	known := false
	for _, key := range k.keys {
		if keyID(header[1:]) != key.id {
			continue
		}
		known = true
		if plaintext, err := key.aead.Open(nil, nonce, ciphertext,
			sealContext(header, purpose, id)); err == nil {
			return plaintext, nil
		}
	}
	if !known {
		return nil, fmt.Errorf("%s: %w: its key is not in the key ring", purpose, ErrSealed)
	}
	return nil, fmt.Errorf("%s: %w", purpose, ErrChanged)
}

// sealText is seal with a base64url result.
func (k *keyRing) sealText(purpose string, id, plaintext []byte) string {
	return base64.RawURLEncoding.EncodeToString(k.seal(purpose, id, plaintext))
}

func (k *keyRing) unsealText(purpose string, id []byte, text string) ([]byte, error) {
	sealed, err := strictBase64.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return k.unseal(purpose, id, sealed)
}

// sealedKeyID returns the id of the key that has sealed a record, whatever the format of the rest.
func sealedKeyID(sealed []byte) (id keyID, ok bool) {
	if len(sealed) < sealOverhead {
		return id, false
	}
	return keyID(sealed[1:]), true
}

// has reports whether the key of that id is in the ring.
func (k *keyRing) has(id keyID) bool {
	return slices.ContainsFunc(k.keys, func(key sealKey) bool { return key.id == id })
}

// sealedByFirst reports whether a record is sealed with the first key, and can be opened with it.
func (k *keyRing) sealedByFirst(purpose string, id, sealed []byte) bool {
	_, err := (&keyRing{keys: k.keys[:1]}).unseal(purpose, id, sealed)
	return err == nil
}

func sealContext(header []byte, purpose string, id []byte) []byte {
	out := make([]byte, 0, len(header)+binary.MaxVarintLen64+len(purpose)+len(id))
	out = append(out, header...)
	out = binary.AppendUvarint(out, uint64(len(purpose)))
	out = append(out, purpose...)
	return append(out, id...)
}
