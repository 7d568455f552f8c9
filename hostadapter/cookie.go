package hostadapter

// The session cookie: 256 random bits, of which the store sees the SHA-256.

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	hostPrefix   = "__Host-"
	securePrefix = "__Secure-"
	secretBytes  = 32
	// longestCookie is the maximum lifetime of a cookie in browsers (RFC 6265bis, section 5.5).
	longestCookie = 400 * 24 * time.Hour
)

// secret is the value of a cookie. It is a credential, so it prints as "[redacted]".
type secret [secretBytes]byte

func newSecret() secret {
	var s secret
	rand.Read(s[:]) // never returns an error
	return s
}

func (s secret) key() ticketstore.Key { return ticketstore.KeyOf(s[:]) }
func (s secret) value() string        { return base64.RawURLEncoding.EncodeToString(s[:]) }
func (secret) String() string         { return "[redacted]" }
func (secret) GoString() string       { return "[redacted]" }

// readCookies returns the secrets of the request's session cookies.
func (a *Adapter) readCookies(r *http.Request) (secrets []secret, present bool) {
	return readSecrets(r, append([]string{a.config.Cookie.Name}, a.config.formerCookies...)...)
}

// strictBase64 accepts only the canonical encoding of each secret.
var strictBase64 = base64.RawURLEncoding.Strict()

// readSecrets returns the distinct secrets in the request's cookies with those names, at most maxCookies.
// present reports whether there is a cookie with such a name, even if its value is not a secret.
func readSecrets(r *http.Request, names ...string) (secrets []secret, present bool) {
	var cookies []*http.Cookie
	for _, name := range names {
		cookies = append(cookies, r.CookiesNamed(name)...)
	}
	for _, cookie := range cookies {
		present = true
		if len(cookie.Value) != strictBase64.EncodedLen(secretBytes) {
			continue
		}
		var s secret
		n, err := strictBase64.Decode(s[:], []byte(cookie.Value))
		if err == nil && n == secretBytes && !slices.Contains(secrets, s) && len(secrets) < maxCookies {
			secrets = append(secrets, s)
		}
	}
	return secrets, present
}

func (a *Adapter) writeCookie(w http.ResponseWriter, s secret, session *ticketstore.Session) {
	cookie := a.cookie(s.value()) //nolint:gosec // a.cookie sets its attributes
	if a.config.Cookie.Persistent {
		// Not the idle timeout: renewals do not write the cookie, because that could overwrite the cookie of
		// a concurrent sign-in.
		end := capped(a.now().Add(longestCookie), session.EndsAt)
		cookie.MaxAge = max(int(end.Sub(a.now())/time.Second), 1)
	}
	setCookie(w, cookie)
}

func (a *Adapter) clearCookie(w http.ResponseWriter) {
	cookie := a.cookie("") //nolint:gosec // a.cookie sets its attributes
	cookie.MaxAge = -1
	setCookie(w, cookie)
}

func (a *Adapter) cookie(value string) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure follows the issuer's scheme, SameSite the configuration
		Name: a.config.Cookie.Name, Value: value, Path: "/", Domain: a.config.Cookie.Domain,
		Secure: a.config.secure(), HttpOnly: true, SameSite: a.config.Cookie.SameSite,
	}
}

// setCookie replaces a cookie with the same name set earlier in the same response, because browsers need not
// use the last of two.
func setCookie(w http.ResponseWriter, cookie *http.Cookie) {
	header := w.Header()
	var kept []string
	for _, line := range header["Set-Cookie"] {
		if !strings.HasPrefix(line, cookie.Name+"=") {
			kept = append(kept, line)
		}
	}
	header["Set-Cookie"] = append(kept, cookie.String())
	// A response that sets a session cookie must not be cached (RFC 9111, section 7.3).
	if header.Get("Cache-Control") == "" {
		header.Set("Cache-Control", "no-store")
	}
}
