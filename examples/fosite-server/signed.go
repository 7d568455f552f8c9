package main

// What browsers are given to bring back: signed values, and the cookies that hold them.

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// signer signs values of one purpose. They are no secret to whom they are given.
type signer struct{ key []byte }

// newSigner derives the key of a purpose, the same at all servers that share the secret.
func newSigner(globalSecret []byte, purpose string) signer {
	key, err := hkdf.Key(sha256.New, globalSecret, nil, "fosite-server "+purpose, sha256.Size)
	if err != nil {
		panic(err) // a longer key would fail
	}
	return signer{key}
}

// sum is the HMAC of texts, which is no signature of a value: those are of two.
func (s signer) sum(texts ...string) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(hashOf(texts...))
	return mac.Sum(nil)
}

// token encodes a value of texts, bytes and moments, which JSON can hold, with its signature.
func (s signer) token(value any) string {
	content, _ := json.Marshal(value)
	return base64.RawURLEncoding.EncodeToString(append(s.sum("value", string(content)), content...))
}

// signedCookies are the values of the cookies of a name that the server has signed, of the first few: another
// server on a port of this host may have set its own.
func signedCookies[V any](r *http.Request, name string, s signer) (values []V) {
	cookies := r.CookiesNamed(name)
	for _, cookie := range cookies[:min(len(cookies), maxSignedCookies)] {
		var value V
		if s.open(cookie.Value, &value) {
			values = append(values, value)
		}
	}
	return values
}

const maxSignedCookies = 8

// open decodes what token made into a value, and reports whether it is that.
func (s signer) open(token string, value any) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < sha256.Size {
		return false
	}
	sum, content := raw[:sha256.Size], raw[sha256.Size:]
	return hmac.Equal(sum, s.sum("value", string(content))) && json.Unmarshal(content, value) == nil
}

// hashOf hashes texts so that no two lists of them have the same.
func hashOf(texts ...string) []byte {
	sum := sha256.New()
	for _, text := range texts {
		_ = binary.Write(sum, binary.BigEndian, uint64(len(text))) // a hash takes everything
		sum.Write([]byte(text))
	}
	return sum.Sum(nil)
}

// cookie is one that this server sets.
type cookie struct {
	name, path string
	secure     bool
	sameSite   http.SameSite
}

// newCookie returns a cookie of that name. Below an https issuer it is Secure, whatever r.TLS says behind a
// proxy, and the name has the prefix that goes with its path. Ports share cookies: those of the demo clients
// have other names.
func newCookie(issuer, name, path string) cookie {
	c := cookie{name, path, strings.HasPrefix(issuer, "https:"), http.SameSiteLaxMode}
	switch {
	case c.secure && path == "/":
		c.name = "__Host-" + name
	case c.secure:
		c.name = "__Secure-" + name // __Host- requires the path /
	}
	return c
}

// set gives the cookie to a browser for a time, zero: until it is closed. A negative one takes it away.
func (c *cookie) set(w http.ResponseWriter, suffix, value string, lifetime time.Duration) {
	//nolint:gosec // all attributes are set; secure follows the issuer's scheme
	http.SetCookie(w, &http.Cookie{
		Name: c.name + suffix, Value: value, Path: c.path, MaxAge: int(lifetime / time.Second),
		HttpOnly: true, Secure: c.secure, SameSite: c.sameSite,
	})
}
