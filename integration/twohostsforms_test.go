package integration

// What two servers of one store count together: forms, guesses at passwords, operators who signed out.

import (
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// send posts a page's form, and returns the answer's status and page.
func (b *browser) send(t *testing.T, page, address string, values url.Values) (status int, answer string) {
	t.Helper()
	form := formToken.FindStringSubmatch(page)
	if form == nil {
		t.Fatalf("the page has no form:\n%.2000s", page)
	}
	values.Set("form", html.UnescapeString(form[1]))
	handedOut("form", values.Get("form"))
	answer = b.do(t, func() (*http.Response, error) {
		response, err := b.client.PostForm(address, values)
		if err == nil {
			status = response.StatusCode
		}
		return response, err
	})
	return status, answer
}

// A form that one server has shown is taken by the other, once. Guesses at a password count at both, and an
// operator who signs out at one is signed out at both.
func TestTwoServersCountTogether(t *testing.T) {
	t.Parallel()
	settings, shop := postgresSettings(t), newRelyingParty(t, "shop")
	w := newPair(t, []map[string]any{shop.registration()}, []user{ann, bob},
		"-backend", "postgres", "-dsn-file", settings.DSNFile, "-schema", settings.Schema)
	shop.discover(t, w.first)
	issuer := w.first.issuer

	b := newBrowser()
	login := b.do(t, func() (*http.Response, error) { return b.client.Get(shop.server.URL + "/login") })
	w.at(w.second)
	credentials := url.Values{"username": {ann.Username}, "password": {ann.Password}}
	_, consent := b.send(t, login, issuer+"/login", credentials)
	w.at(w.first)
	allow := url.Values{"decision": {"allow"}}
	_, page := b.send(t, consent, issuer+"/consent", allow)
	if !strings.Contains(page, "signed in as "+ann.Subject) {
		t.Fatalf("the form that the other server has shown ended with:\n%.2000s", page)
	}
	w.first.admin(t, http.MethodPost, "/grants/remove", map[string]any{"subject_id": ann.Subject})
	w.at(w.second)
	if _, page = b.send(t, consent, issuer+"/consent", allow); !strings.Contains(page, `value="allow"`) {
		t.Errorf("a form that was used at the other server does not ask again:\n%.2000s", page)
	}
	w.guess(t, issuer)
	w.operatorSignsOut(t, issuer)
}

// guess holds that of guesses at Bob's password, at both servers in turn, five are looked at.
func (w *pair) guess(t *testing.T, issuer string) {
	t.Helper()
	b, servers := newBrowser(), []*provider{w.first, w.second}
	for i := range 7 {
		w.at(servers[i%2])
		page := b.do(t, func() (*http.Response, error) { return b.client.Get(issuer + "/login") })
		guess, want := url.Values{"username": {bob.Username}, "password": {"wrong"}}, http.StatusUnauthorized
		if i >= 5 {
			guess.Set("password", bob.Password)
			want = http.StatusTooManyRequests
		}
		if status, _ := b.send(t, page, issuer+"/login", guess); status != want {
			t.Errorf("guess %d is answered %d, want %d", i+1, status, want)
		}
	}
}

// operatorSignsOut holds that a copy of an operator's cookies is worth nothing at the other server.
func (w *pair) operatorSignsOut(t *testing.T, issuer string) {
	t.Helper()
	target, err := url.Parse(issuer + "/admin/") // so that the copies have the path of the originals
	if err != nil {
		t.Fatal(err)
	}
	operator, thief := newBrowser(), newBrowser()
	w.at(w.first)
	operator.do(t, func() (*http.Response, error) {
		return operator.client.PostForm(issuer+"/admin/sign-in", url.Values{"token": {w.first.adminToken}})
	})
	copied, _ := cookiejar.New(nil) // it never fails
	copied.SetCookies(target, operator.client.Jar.Cookies(target))
	thief.client.Jar = copied
	reads := func() (status int) {
		thief.do(t, func() (*http.Response, error) {
			response, err := thief.client.Get(issuer + "/admin/sessions")
			if err == nil {
				status = response.StatusCode
			}
			return response, err
		})
		return status
	}
	w.at(w.second)
	if status := reads(); status != http.StatusOK {
		t.Errorf("an operator of one server is answered %d at the other", status)
	}
	w.at(w.first)
	operator.do(t, func() (*http.Response, error) {
		return operator.client.PostForm(issuer+"/admin/sign-out", nil)
	})
	w.at(w.second)
	if status := reads(); status != http.StatusUnauthorized {
		t.Errorf("an operator who signed out at one server is answered %d at the other", status)
	}
}
