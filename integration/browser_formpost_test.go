package integration

// Form post in a real browser.

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// With response_mode=form_post the page's script, which the page's policy allows, submits the response to the
// client, which redirects the browser to a different origin.
func TestFormPostInABrowser(t *testing.T) {
	t.Parallel()
	c := startChrome(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "arrived with ", r.URL.RawQuery)
	}))
	t.Cleanup(elsewhere.Close)
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.PostFormValue("code") == "" && r.PostFormValue("error") == "" {
			http.Error(w, "no answer to an authorization request", http.StatusBadRequest)
			return
		}
		handedOut("code", r.PostFormValue("code"))
		http.Redirect(w, r, elsewhere.URL+"/?"+url.Values{
			"state": {r.PostFormValue("state")}, "error": {r.PostFormValue("error")},
			"origin": {r.Header.Get("Origin")},
		}.Encode(), http.StatusSeeOther)
	}))
	t.Cleanup(client.Close)
	p := startProvider(t, []map[string]any{{
		"client_id": "poster", "client_secret": randomText(),
		"redirect_uris": []string{client.URL + "/callback"},
		"grant_types":   []string{"authorization_code"}, "response_types": []string{"code"},
		"scope": "openid",
	}}, []user{ann})
	address := func(scope string) string {
		return p.issuer + "/oauth2/auth?" + url.Values{
			"client_id": {"poster"}, "redirect_uri": {client.URL + "/callback"}, "response_type": {"code"},
			"response_mode": {"form_post"},
			"scope":         {scope}, "state": {"state-of-ours"},
		}.Encode()
	}
	page := c.tab()
	page.look(360, "dark")
	page.open(address("openid"))
	page.says("to continue to")
	page.mustFit(360, "dark")
	page.fill("#username", ann.Username)
	page.fill("#password", ann.Password)
	page.click("button.primary")
	page.says("asks for your permission")
	page.mustFit(360, "dark")
	page.click("button.primary")
	arrived := url.Values{"error": {""}, "origin": {p.issuer}, "state": {"state-of-ours"}}
	page.says("arrived with " + arrived.Encode())
	c.handOutCookies(p.issuer)
	page.open(address("openid"))
	page.says("arrived with " + arrived.Encode())
	page.open(address("unknown"))
	page.says("error=invalid_scope")
	c.mustNotComplain()
}
