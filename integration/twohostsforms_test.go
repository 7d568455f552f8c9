package integration

// State shared by two servers of one store: used forms, password attempts, operators' sign-outs.

import (
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// send posts a page's form and returns status and page of the response.
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

// A form shown by one server is accepted by the second, once. Password attempts count at both, and an
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
		t.Fatalf("the form shown by the other server returned:\n%.2000s", page)
	}
	w.first.admin(t, http.MethodPost, "/grants/remove", map[string]any{"subject_id": ann.Subject})
	w.at(w.second)
	if _, page = b.send(t, consent, issuer+"/consent", allow); !strings.Contains(page, `value="allow"`) {
		t.Errorf("a form already used at the other server is not shown again:\n%.2000s", page)
	}
	w.guess(t, issuer)
	w.operatorSignsOut(t, issuer)
}

// guess checks that attempts at Bob's password at alternating servers are limited as at a single server:
// five, and one more per half minute.
func (w *pair) guess(t *testing.T, issuer string) {
	t.Helper()
	const every = 30 * time.Second
	b, servers := newBrowser(), []*provider{w.first, w.second}
	begin, looked, refused := time.Now().Truncate(every), 0, 0
	for i := 0; refused < len(servers); i++ {
		w.at(servers[i%len(servers)])
		page := b.do(t, func() (*http.Response, error) { return b.client.Get(issuer + "/login") })
		guess := url.Values{"username": {bob.Username}, "password": {"wrong"}}
		switch status, _ := b.send(t, page, issuer+"/login", guess); status {
		case http.StatusUnauthorized:
			looked, refused = looked+1, 0
		case http.StatusTooManyRequests:
			refused++
		default:
			t.Fatalf("attempt %d returned %d", i+1, status)
		}
		if most := 5 + int(time.Since(begin)/every); looked > most {
			t.Fatalf("%d attempts were checked, want at most %d", looked, most)
		}
	}
	if looked < 5 {
		t.Errorf("%d attempts were checked, want at least five", looked)
	}
}

// operatorSignsOut checks that a copy of an operator's cookies is invalid at the second server.
func (w *pair) operatorSignsOut(t *testing.T, issuer string) {
	t.Helper()
	target, err := url.Parse(issuer + "/admin/") // the copies need the path of the originals
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
		t.Errorf("an operator of one server gets %d at the second", status)
	}
	w.at(w.first)
	operator.do(t, func() (*http.Response, error) {
		return operator.client.PostForm(issuer+"/admin/sign-out", nil)
	})
	w.at(w.second)
	if status := reads(); status != http.StatusUnauthorized {
		t.Errorf("an operator who signed out at one server gets %d at the second", status)
	}
}
