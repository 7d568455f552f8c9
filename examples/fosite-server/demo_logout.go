package main

// The demo client's back-channel and front-channel logout.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	logoutType  = "logout+jwt"
	// logoutAge bounds the age of a logout token, logoutSkew its time in the future.
	logoutAge  = 10 * time.Minute
	logoutSkew = time.Minute
	// maxLogoutBody bounds a back-channel request, in bytes.
	maxLogoutBody = 64 << 10
)

// backChannelLogout receives logout tokens (Back-Channel Logout 1.0, sections 2.5 to 2.8).
func (d *demoClient) backChannelLogout(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	raw, err := logoutTokenOf(w, r)
	if err == nil {
		var provider *oidc.Provider
		if provider, err = d.discover(r.Context()); err != nil {
			// Not a 400: the token may be valid, so the server should retry.
			http.Error(w, "the issuer's keys are out of reach", http.StatusServiceUnavailable)
			return
		}
		err = d.endByToken(oidc.ClientContext(r.Context(), demoHTTP), provider, raw)
	}
	if err != nil {
		d.logger.WarnContext(r.Context(), "logout token was refused", "error", err)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{
			"error": "invalid_request", "error_description": err.Error(),
		})
		return
	}
	w.WriteHeader(http.StatusOK)
}

// logoutTokenOf returns the logout token of a form with exactly one.
func logoutTokenOf(w http.ResponseWriter, r *http.Request) (string, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		kind != "application/x-www-form-urlencoded" {
		return "", errors.New("the body is not form-encoded")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxLogoutBody)
	if err := r.ParseForm(); err != nil {
		return "", errors.New("the body cannot be read as a form")
	}
	if tokens := r.PostForm["logout_token"]; len(tokens) == 1 && tokens[0] != "" {
		return tokens[0], nil
	}
	return "", errors.New("the body has not exactly one logout_token")
}

func (d *demoClient) endByToken(ctx context.Context, provider *oidc.Provider, raw string) error {
	verifier := provider.Verifier(&oidc.Config{ClientID: d.id, Now: d.now})
	token, err := d.tokens.verify(ctx, verifier, raw, d.now())
	if err != nil {
		return err
	}
	count := d.sessions.end(token.Subject, token.SessionID, byLogoutToken, d.now())
	d.logger.InfoContext(ctx, "logout token ended local sessions",
		"session_id", token.SessionID, "sessions", count)
	return nil
}

// frontChannelLogout is loaded in a frame of the server's page (Front-Channel Logout 1.0, section 2).
// Browsers may block this client's cookie there, so the session is found by its unguessable sid.
func (d *demoClient) frontChannelLogout(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Del("X-Frame-Options")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors "+d.issuer)
	issuer, sid := r.URL.Query().Get("iss"), r.URL.Query().Get("sid")
	if issuer != d.issuer || sid == "" {
		http.Error(w, "iss and sid are not those of a session", http.StatusBadRequest)
		return
	}
	count := d.sessions.end("", sid, byFrame, d.now())
	d.logger.InfoContext(r.Context(), "frame ended local sessions", "session_id", sid, "sessions", count)
	_, _ = w.Write([]byte("signed out"))
}

// logoutTokens verifies logout tokens and remembers their jti.
type logoutTokens struct {
	mu   sync.Mutex
	seen map[string]time.Time // jti to exp
}

func newLogoutTokens() *logoutTokens { return &logoutTokens{seen: map[string]time.Time{}} }

// verify checks a logout token by Back-Channel Logout 1.0, section 2.6, including what that section makes
// optional: type, age and a new jti. go-oidc checks signature, algorithm, iss, aud, exp, nonce, and the
// presence of the event and of sub or sid.
func (l *logoutTokens) verify(
	ctx context.Context, verifier *oidc.IDTokenVerifier, raw string, now time.Time,
) (*oidc.LogoutToken, error) {
	if err := checkLogoutType(raw); err != nil {
		return nil, err
	}
	token, err := verifier.VerifyLogout(ctx, raw)
	if err != nil {
		return nil, err
	}
	var claims struct {
		IssuedAt *json.Number               `json:"iat"`
		Events   map[string]json.RawMessage `json:"events"`
	}
	if err := token.Claims(&claims); err != nil || claims.IssuedAt == nil {
		return nil, errors.New("the claims cannot be read, or iat is missing")
	}
	if event := bytes.TrimSpace(claims.Events[logoutEvent]); !bytes.HasPrefix(event, []byte("{")) {
		return nil, errors.New("the logout event is not an object")
	}
	switch age := now.Sub(token.IssuedAt); {
	case age > logoutAge:
		return nil, fmt.Errorf("the token was issued more than %v ago", logoutAge)
	case age < -logoutSkew:
		return nil, errors.New("the token was issued in the future")
	}
	return token, l.use(token, now)
}

// use refuses a token whose jti was used before.
func (l *logoutTokens) use(token *oidc.LogoutToken, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.seen, func(_ string, expiry time.Time) bool { return now.After(expiry) })
	if _, again := l.seen[token.TokenID]; again {
		return errors.New("the jti was used before")
	}
	l.seen[token.TokenID] = token.Expiry
	return nil
}

// checkLogoutType refuses tokens whose typ is not that of logout tokens, above all ID tokens.
func checkLogoutType(raw string) error {
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384,
		jose.ES512, jose.EdDSA,
	})
	if err != nil {
		return errors.New("the token is not a JWS with an asymmetric signature")
	}
	kind, _ := parsed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string)
	if strings.TrimPrefix(strings.ToLower(kind), "application/") != logoutType {
		return fmt.Errorf("the token's typ is not %s", logoutType)
	}
	return nil
}
