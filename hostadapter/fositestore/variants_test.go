package fositestore_test

// Compositions of fosite that differ from the usual one.

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

func TestStoreWithoutProvider(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(h *host, _ *fositestore.Config) { h.bare = true })
	b, r := h.tokens("ann")
	if c := claims(t, r.str("id_token")); c["sid"] != h.sid("ann") || c["nonce"] != nonce {
		t.Errorf("want an ID token with sid and nonce, got %v", c)
	}
	second := h.refresh(r.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	h.mustActive(r.str("access_token"), false)
	h.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
	h.mustActive(second.str("access_token"), false)
	third := h.exchange(b.code())
	h.end("ann")
	h.mustActive(third.str("access_token"), false)
	h.refresh(third.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
}

// jwtSession is a host's session type for JWT access tokens and ID tokens.
type jwtSession struct {
	*openid.DefaultSession
	Access  *jwt.JWTClaims
	Header  *jwt.Headers
	Session string
}

func (s *jwtSession) GetJWTClaims() jwt.JWTClaimsContainer { return s.Access }
func (s *jwtSession) GetJWTHeader() *jwt.Headers           { return s.Header }
func (s *jwtSession) SetSessionID(sid string)              { s.Session = sid }
func (s *jwtSession) GetSessionID() string                 { return s.Session }

func (s *jwtSession) Clone() fosite.Session {
	data, _ := json.Marshal(s)
	clone := &jwtSession{}
	_ = json.Unmarshal(data, clone)
	return clone
}

func newJWTSession(subject string) fosite.Session {
	inner, _ := openIDSession(subject).(*openid.DefaultSession)
	return &jwtSession{
		DefaultSession: inner, Access: &jwt.JWTClaims{Subject: subject}, Header: &jwt.Headers{},
	}
}

func TestJWTAccessTokens(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := newHost(t, func(h *host, c *fositestore.Config) {
		c.Host.Logger = slog.New(slog.NewTextHandler(&log, nil))
		h.newSession = newJWTSession
		jwtAccessTokens(h, c)
	})
	if !strings.Contains(log.String(), "access tokens are JWTs") {
		t.Error("the log at the start does not warn of JWT access tokens")
	}
	_, r := h.tokens("ann")
	sid := h.sid("ann")
	second := h.refresh(r.str("refresh_token"))
	for name, token := range map[string]string{
		"ID token": r.str("id_token"), "access token": r.str("access_token"),
		"refreshed ID token": second.str("id_token"), "refreshed access token": second.str("access_token"),
	} {
		if c := claims(t, token); c["sid"] != sid || c["sub"] != "ann" {
			t.Errorf("%s: want sid %q and sub, got %v", name, sid, c)
		}
	}
	h.mustActive(second.str("access_token"), true)
	h.end("ann")
	h.mustActive(second.str("access_token"), false)
}

// A host may replace the session between NewAccessRequest and NewAccessResponse.
func TestReplacedSessionKeepsItsBinding(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, r := h.tokens("ann")
	form := authorization()
	for name := range form {
		form.Del(name)
	}
	form.Set("grant_type", "refresh_token")
	form.Set("refresh_token", r.str("refresh_token"))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.PostForm, request.Form = form, form
	request.SetBasicAuth("app", secret)
	access, err := h.provider.NewAccessRequest(t.Context(), request, openIDSession(""))
	if err != nil {
		t.Fatal(err)
	}
	replaced := openIDSession("ann")
	replaced.SetExpiresAt(fosite.AccessToken, time.Now().Add(time.Hour))
	access.SetSession(replaced)
	response, err := h.provider.NewAccessResponse(t.Context(), access)
	if err != nil {
		t.Fatal(err)
	}
	h.mustActive(response.GetAccessToken(), true)
	h.end("ann")
	h.mustActive(response.GetAccessToken(), false)
}

func TestGrantsOfARemovedClient(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, r := h.tokens("ann")
	delete(h.memory.Clients, "app")
	introspected := h.post("/introspect",
		map[string][]string{"token": {r.str("access_token")}, "as": {"other"}})
	if introspected.status != http.StatusOK || introspected.json["active"] != false {
		t.Errorf("want an inactive token, got %d %s", introspected.status, introspected.body)
	}
}

func TestPasswordGrantWithoutAuthenticator(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(h *host, c *fositestore.Config) { c.Store = clientsOnly{h.memory} })
	h.post("/token",
		map[string][]string{"grant_type": {"password"}, "username": {"peter"}, "password": {"secret"}}).
		must(t, http.StatusBadRequest, "unsupported_grant_type")
}

// clientsOnly hides everything of a store except the clients.
type clientsOnly struct{ fosite.ClientManager }
