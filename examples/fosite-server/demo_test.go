package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is a server that publishes its keys and signs tokens for tests.
type issuer struct {
	*httptest.Server
	key *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	i := &issuer{Server: httptest.NewServer(mux), key: key}
	t.Cleanup(i.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/jwks", "authorization_endpoint": i.URL + "/a",
			"token_endpoint":                        i.URL + "/t",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK,
			jose.JSONWebKeySet{
				Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}},
			})
	})
	return i
}

func (i *issuer) sign(
	t *testing.T, key any, alg jose.SignatureAlgorithm, typ string, claims map[string]any,
) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithHeader("kid", "k")
	if typ != "" {
		options = options.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(raw)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// claims returns the claims of a valid logout token, changed by with; a nil value removes a claim.
func (i *issuer) claims(with map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": i.URL, "aud": "demo", "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(),
		"jti": rand.Text(), "sid": "s1",
		"events": map[string]any{logoutEvent: map[string]any{}},
	}
	maps.Copy(claims, with)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// newTestClient returns a demo client with two sessions of one user and one of another.
func newTestClient(i *issuer) *demoClient {
	d := newDemoClient("demo", "Demo", "", "http://localhost:1", i.URL,
		slog.New(slog.NewTextHandler(io.Discard, nil)))
	for cookie, session := range map[string]*demoSession{
		"c1": {subject: "u1", sessionID: "s1"}, "c2": {subject: "u1", sessionID: "s2"},
		"c3": {subject: "u2", sessionID: "s3"},
	} {
		session.changed = make(chan struct{})
		d.sessions.sessions[cookie] = session
	}
	return d
}

func (d *demoClient) live() string {
	var live []string
	for _, cookie := range []string{"c1", "c2", "c3"} {
		if d.sessions.view(cookie).State == "in" {
			live = append(live, cookie)
		}
	}
	return strings.Join(live, " ")
}

func post(d *demoClient, contentType, body string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, "/backchannel-logout", strings.NewReader(body))
	request.Header.Set("Content-Type", contentType)
	recorder := httptest.NewRecorder()
	d.handler().ServeHTTP(recorder, request)
	return recorder
}

const formType = "application/x-www-form-urlencoded"

func TestLogoutTokensAccepted(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for _, c := range []struct {
		name string
		with map[string]any
		want string
	}{
		{name: "by sid", want: "c2 c3"},
		{name: "by sid and sub", with: map[string]any{"sub": "u1"}, want: "c2 c3"},
		{name: "by sub", with: map[string]any{"sid": nil, "sub": "u1"}, want: "c3"},
		{name: "a sid with another's sub", with: map[string]any{"sub": "u2"}, want: "c1 c2 c3"},
		{name: "an unknown sid", with: map[string]any{"sid": "s9"}, want: "c1 c2 c3"},
		{name: "several audiences", with: map[string]any{"aud": []string{"other", "demo"}}, want: "c2 c3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newTestClient(i)
			token := i.sign(t, i.key, jose.ES256, logoutType, i.claims(c.with))
			answer := post(d, formType, formOf("logout_token", token))
			if answer.Code != http.StatusOK || answer.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("answer is %d %s, Cache-Control %q; want 200, no-store", answer.Code, answer.Body,
					answer.Header().Get("Cache-Control"))
			}
			if got := d.live(); got != c.want {
				t.Errorf("sessions left are %q, want %q", got, c.want)
			}
			if again := post(d, formType,
				formOf("logout_token", token)); again.Code != http.StatusBadRequest {
				t.Errorf("the same token again: %d, want 400", again.Code)
			}
		})
	}
}

func TestLogoutTokensRefused(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	good := func(with map[string]any) string {
		return i.sign(t, i.key, jose.ES256, logoutType, i.claims(with))
	}
	body, err := json.Marshal(i.claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"logout+jwt"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(body) + "."
	for name, token := range map[string]string{
		"another issuer":   good(map[string]any{"iss": "https://other.example"}),
		"another audience": good(map[string]any{"aud": "other"}),
		"no audience":      good(map[string]any{"aud": nil}),
		"no iat":           good(map[string]any{"iat": nil}),
		"an old iat":       good(map[string]any{"iat": now.Add(-time.Hour).Unix()}),
		"an iat in the future": good(map[string]any{
			"iat": now.Add(time.Hour).Unix(), "exp": now.Add(2 * time.Hour).Unix(),
		}),
		"no exp":              good(map[string]any{"exp": nil}),
		"expired":             good(map[string]any{"exp": now.Add(-time.Second).Unix()}),
		"no jti":              good(map[string]any{"jti": nil}),
		"neither sid nor sub": good(map[string]any{"sid": nil}),
		"a nonce":             good(map[string]any{"nonce": "n"}),
		"a null nonce":        i.sign(t, i.key, jose.ES256, logoutType, withNull(i.claims(nil), "nonce")),
		"no events":           good(map[string]any{"events": nil}),
		"another event":       good(map[string]any{"events": map[string]any{"x": map[string]any{}}}),
		"an event of null":    good(map[string]any{"events": map[string]any{logoutEvent: nil}}),
		"an ID token's type":  i.sign(t, i.key, jose.ES256, "JWT", i.claims(nil)),
		"no type":             i.sign(t, i.key, jose.ES256, "", i.claims(nil)),
		"another key":         i.sign(t, other, jose.ES256, logoutType, i.claims(nil)),
		"a shared secret": i.sign(t, []byte(strings.Repeat("k", 32)), jose.HS256, logoutType,
			i.claims(nil)),
		"no signature": unsigned,
		"no token":     "x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestClient(i)
			if answer := post(d, formType,
				formOf("logout_token", token)); answer.Code != http.StatusBadRequest {
				t.Errorf("answer is %d, want 400", answer.Code)
			}
			if got := d.live(); got != "c1 c2 c3" {
				t.Errorf("sessions left are %q, want all", got)
			}
		})
	}
}

func withNull(claims map[string]any, name string) map[string]any {
	claims[name] = nil
	return claims
}

func TestLogoutRequestsRefused(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	token := i.sign(t, i.key, jose.ES256, logoutType, i.claims(nil))
	for name, request := range map[string][2]string{
		"JSON":       {"application/json", `{"logout_token":"` + token + `"}`},
		"two tokens": {formType, url.Values{"logout_token": {token, token}}.Encode()},
		"empty":      {formType, "logout_token="},
		"too large":  {formType, "logout_token=" + strings.Repeat("x", maxLogoutBody)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestClient(i)
			if answer := post(d, request[0], request[1]); answer.Code != http.StatusBadRequest {
				t.Errorf("answer is %d, want 400", answer.Code)
			}
			if got := d.live(); got != "c1 c2 c3" {
				t.Errorf("sessions left are %q, want all", got)
			}
		})
	}
	t.Run("keys unavailable", func(t *testing.T) {
		t.Parallel()
		gone := newIssuer(t)
		d := newTestClient(gone)
		gone.Close()
		if answer := post(d, formType,
			formOf("logout_token", token)); answer.Code != http.StatusServiceUnavailable {
			t.Errorf("answer is %d, want 503, so that the server retries", answer.Code)
		}
	})
}

func TestFrontChannelLogoutOfAClient(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for name, c := range map[string]struct{ query, live string }{
		"its session":    {formOf("iss", i.URL, "sid", "s1"), "c2 c3"},
		"an unknown sid": {formOf("iss", i.URL, "sid", "s9"), "c1 c2 c3"},
		"another issuer": {formOf("iss", "https://other.example", "sid", "s1"), "c1 c2 c3"},
		"no sid":         {formOf("iss", i.URL), "c1 c2 c3"},
		"nothing":        {"", "c1 c2 c3"},
	} {
		d := newTestClient(i)
		recorder := httptest.NewRecorder()
		d.handler().ServeHTTP(recorder,
			httptest.NewRequest(http.MethodGet, "/frontchannel-logout?"+c.query, nil))
		if got := d.live(); got != c.live {
			t.Errorf("%s: sessions left are %q, want %q", name, got, c.live)
		}
		if recorder.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers are %v, want no-store", name, recorder.Header())
		}
	}
}

func TestDemoPageFollowsItsSession(t *testing.T) {
	t.Parallel()
	d := newTestClient(newIssuer(t))
	seen, changed := d.sessions.watch("c1")
	select {
	case <-changed:
		t.Fatal("changed before the session did")
	default:
	}
	if count := d.sessions.end("", "s1", byLogoutToken, time.Now()); count != 1 {
		t.Fatalf("%d sessions ended, want 1", count)
	}
	<-changed
	if now, _ := d.sessions.watch("c1"); now == seen {
		t.Errorf("the page gets %q as before, want a change", now)
	}
	if view := d.sessions.view("c1"); view.State != "ended" || view.title() != "Signed out by the server" {
		t.Errorf("the page is %q (%s), want it signed out by the server", view.title(), view.State)
	}
}
