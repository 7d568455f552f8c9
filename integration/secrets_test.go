package integration

// No secret reaches a log.

import (
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
)

// No log contains a secret: neither those that the server issues nor those that it receives, valid or
// invalid. Every process started by the tests of this package is watched, and TestMain searches everything
// they wrote. This test makes the requests that other tests do not make, and checks that no kind of secret is
// missing.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.annsBrowser.code(t, w.shop).Get("code")
	handedOut("authorization code", code)
	w.post(t, "token_endpoint", w.mail,
		url.Values{
			"grant_type": {"authorization_code"}, "code": {code},
			"redirect_uri": {"https://elsewhere.example"},
		})
	w.refresh(t, w.mail, w.annAtShop.token.RefreshToken) // a different client's
	w.post(t, "token_endpoint", &relyingParty{id: "shop", secret: w.mail.secret},
		url.Values{"grant_type": {"refresh_token"}, "refresh_token": {code}})
	w.post(t, "revocation_endpoint", w.mail, url.Values{"token": {w.annAtShop.token.AccessToken}})
	sendSecretsAstray(t, w)
	w.remove(t, map[string]any{"subject_id": ann.Subject})
	w.expectDead(t, "Ann", w.shop, w.annAtShop)
	w.expectTold(t, w.shop, w.annAtShop.sid)

	openWithKey(t, hex.EncodeToString([]byte(randomText()[:16])))
	for _, kind := range []string{
		"admin token", "password", "client secret", "authorization code", "access token", "refresh token",
		"ID token", "logout token", "cookie",
		"operator cookie", "form", "code verifier", "global secret", "signing key", "encryption key",
	} {
		if !watched.knows(kind) {
			t.Errorf("no %s was searched for", kind)
		}
	}
	if found := watched.leaks(); len(found) > 0 {
		t.Errorf("the logs contain secrets:\n%s", strings.Join(found, "\n"))
	}
}

// sendSecretsAstray sends secrets in the wrong places, as users do.
func sendSecretsAstray(t *testing.T, w *world) {
	t.Helper()
	token := url.QueryEscape(w.annAtShop.token.AccessToken)
	w.admin(t, http.MethodGet, "/sessions?results_token="+token, nil)
	w.admin(t, http.MethodGet, "/sessions?"+token+"=1", nil)
	w.admin(t, http.MethodPost, "/sessions/remove", map[string]any{w.annAtShop.token.RefreshToken: true})
	for _, path := range []string{
		"/logout?id_token_hint=" + w.annAtShop.idToken + "x",
		"/logout?client_id=shop&post_logout_redirect_uri=" + token, "/userinfo?access_token=" + token,
		"/oauth2/auth?client_id=" + token, "/nowhere/" + token,
	} {
		w.annsBrowser.do(t, func() (*http.Response, error) {
			return w.annsBrowser.client.Get(w.issuer + path)
		})
	}
	for _, credentials := range []string{"Bearer " + w.annAtShop.token.RefreshToken, "Bearer " +
		w.adminToken + "x", "Basic " + w.adminToken} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.issuer+"/admin/sessions",
			http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", credentials)
		w.annsBrowser.do(t, func() (*http.Response, error) { return http.DefaultClient.Do(request) })
	}
	operatorSignsIn(t, w)
	// Name and password exchanged.
	w.annsBrowser.open(t, w.issuer+"/login", w.provider, user{Username: ann.Password, Password: ann.Username})
}

// operatorSignsIn opens the admin page, after an attempt with a wrong token.
func operatorSignsIn(t *testing.T, w *world) {
	t.Helper()
	b := newBrowser()
	for _, token := range []string{w.annAtShop.token.AccessToken, w.adminToken} {
		b.do(t, func() (*http.Response, error) {
			return b.client.PostForm(w.issuer+"/admin/sign-in",
				url.Values{"token": {token}, "next": {"/admin/ui/"}})
		})
	}
	page, err := url.Parse(w.issuer + "/admin/ui/")
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range b.client.Jar.Cookies(page) {
		handedOut("operator cookie", cookie.Value)
	}
	b.do(t, func() (*http.Response, error) {
		return b.client.Get(page.String() + "?token=" + url.QueryEscape(w.adminToken))
	})
}

// openWithKey runs the plugin with an encrypted database, and with invalid settings.
func openWithKey(t *testing.T, key string) {
	t.Helper()
	handedOut("encryption key", key)
	folder := t.TempDir()
	log := watched.log()
	open := func(key string) error {
		client, err := plugin.Open(t.Context(), plugin.Config{
			Path: binary(t, "sessions-badger"), Settings: badger.Settings{Path: folder, EncryptionKey: key},
			CallTimeout: patience,
			Logger:      slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		if err != nil {
			return err
		}
		return client.Close()
	}
	if err := open(key); err != nil {
		t.Fatalf("open with an encryption key: %v", err)
	}
	for name, wrong := range map[string]string{"another key": "00" +
		key[2:], "half a key": key[:len(key)-1], "no hex": key + "xx"} {
		handedOut("encryption key", wrong)
		err := open(wrong)
		if err == nil {
			t.Errorf("%s opened the database", name)
			continue
		}
		_, _ = log.Write([]byte(err.Error() + "\n")) // a host logs it
	}
}
