package main

// Signed values that browsers return, and the cookies that hold them.

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

// signer signs values for one purpose. The values are not encrypted.
type signer struct{ key []byte }

// newSigner derives the key of a purpose, which is the same at all servers with the same secret.
func newSigner(globalSecret []byte, purpose string) signer {
	key, err := hkdf.Key(sha256.New, globalSecret, nil, "fosite-server "+purpose, sha256.Size)
	if err != nil {
		panic(err) // only a longer key would fail
	}
	return signer{key}
}

// sum returns the HMAC of texts. It cannot be confused with the signature of a value, which has two texts.
func (s signer) sum(texts ...string) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(hashOf(texts...))
	return mac.Sum(nil)
}

// token encodes a value as JSON, with its signature.
func (s signer) token(value any) string {
	content, _ := json.Marshal(value)
	return base64.RawURLEncoding.EncodeToString(append(s.sum("value", string(content)), content...))
}

// signedCookies returns the validly signed values of the first few cookies of a name: another server on a
// port of this host may have set its own.
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

// open decodes a token into value, and reports whether its signature is valid.
func (s signer) open(token string, value any) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < sha256.Size {
		return false
	}
	sum, content := raw[:sha256.Size], raw[sha256.Size:]
	return hmac.Equal(sum, s.sum("value", string(content))) && json.Unmarshal(content, value) == nil
}

// hashOf hashes texts with their lengths, so that different lists have different hashes.
func hashOf(texts ...string) []byte {
	sum := sha256.New()
	for _, text := range texts {
		_ = binary.Write(sum, binary.BigEndian, uint64(len(text))) // writing to a hash never fails
		sum.Write([]byte(text))
	}
	return sum.Sum(nil)
}

// cookie is a cookie that this server sets.
type cookie struct {
	name, path string
	secure     bool
	sameSite   http.SameSite
}

// newCookie returns a cookie of that name. With an https issuer it is Secure, independent of r.TLS because of
// proxies, and the name has the prefix for its path. Cookies are shared across ports: the demo clients'
// cookies have other names.
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

// set sets the cookie for a lifetime. Zero means until the browser is closed; a negative lifetime deletes it.
func (c *cookie) set(w http.ResponseWriter, suffix, value string, lifetime time.Duration) {
	//nolint:gosec // all attributes are set; secure follows the issuer's scheme
	http.SetCookie(w, &http.Cookie{
		Name: c.name + suffix, Value: value, Path: c.path, MaxAge: int(lifetime / time.Second),
		HttpOnly: true, Secure: c.secure, SameSite: c.sameSite,
	})
}
