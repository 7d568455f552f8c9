package integration

import (
	"net/http"
	"net/url"
	"testing"
)

// What is secret is in no log: not what the server handed out, and not what was handed to it, whether it was right or wrong.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secrets := map[string]string{
		"the admin token": w.adminToken, "Ann's password": ann.Password, "Bob's password": bob.Password,
		"the shop's secret": w.shop.secret, "mail's secret": w.mail.secret,
	}
	for who, login := range map[string]signedIn{"Ann's": w.annAtShop, "Bob's": w.bobAtMail} {
		secrets[who+" access token"] = login.token.AccessToken
		secrets[who+" refresh token"] = login.token.RefreshToken
		secrets[who+" ID token"] = login.idToken
	}
	issuer, err := url.Parse(w.issuer)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range w.annsBrowser.client.Jar.Cookies(issuer) {
		secrets["the cookie "+cookie.Name] = cookie.Value
	}
	code := w.annsBrowser.code(t, w.shop).Get("code")
	secrets["an authorization code"] = code
	w.post(t, "token_endpoint", w.mail, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {"https://elsewhere.example"}})
	w.refresh(t, w.mail, w.annAtShop.token.RefreshToken) // another client's
	w.remove(t, map[string]any{"subject_id": ann.Subject})
	w.expectDead(t, "Ann", w.shop, w.annAtShop)
	w.admin(t, http.MethodGet, "/sessions?results_token="+url.QueryEscape(w.annAtShop.token.AccessToken), nil)
	w.expectTold(t, w.shop, w.annAtShop.sid)
	for what, secret := range secrets {
		if secret == "" {
			t.Errorf("%s is empty: nothing was looked for", what)
		} else if w.log.contains(secret) {
			t.Errorf("the log has %s", what)
		}
	}
}
