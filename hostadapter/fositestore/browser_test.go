package fositestore_test

// A browser for the tests of flows.

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// browser is a user's browser that does not follow redirects.
type browser struct {
	h      *host
	client *http.Client
}

func (h *host) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &browser{h: h, client: &http.Client{
		// Not the default transport: closing any test server closes its connections.
		Transport: h.server.Client().Transport,
		Jar:       jar, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// reply is a response with its body.
type reply struct {
	status int
	header http.Header
	body   string
	// json is the body, if it is a JSON object; redirect the parameters of a redirect's query or fragment.
	json     map[string]any
	redirect url.Values
}

func (r *reply) str(name string) string { s, _ := r.json[name].(string); return s }

func (h *host) read(response *http.Response, err error) *reply {
	if err != nil {
		h.t.Errorf("request: %v", err)
		return &reply{header: http.Header{}}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Errorf("reading the answer: %v", err)
	}
	r := &reply{status: response.StatusCode, header: response.Header, body: string(body)}
	_ = json.Unmarshal(body, &r.json)
	if location, err := url.Parse(response.Header.Get("Location")); err == nil {
		r.redirect, _ = url.ParseQuery(location.RawQuery + "&" + location.Fragment)
	}
	return r
}

func (b *browser) get(path string, query url.Values) *reply {
	return b.h.read(b.client.Get(b.h.server.URL + path + "?" + query.Encode()))
}

// signIn signs a user in and fails the test if that fails.
func (b *browser) signIn(user string) *browser {
	b.h.t.Helper()
	if r := b.get("/login", url.Values{"user": {user}}); r.status != http.StatusOK {
		b.h.t.Fatalf("signing in: %d %s", r.status, r.body)
	}
	return b
}

// authorization returns the parameters of an authorization request; changes are name and value pairs, an
// empty value removes the parameter.
func authorization(changes ...string) url.Values {
	query := url.Values{
		"client_id": {"app"}, "redirect_uri": {redirectURI}, "response_type": {"code"},
		"scope": {"openid offline_access"},
		"state": {state}, "nonce": {nonce},
	}
	for i := 0; i+1 < len(changes); i += 2 {
		query.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			query.Del(changes[i])
		}
	}
	return query
}

func (b *browser) code(changes ...string) string {
	b.h.t.Helper()
	r := b.get("/authorize", authorization(changes...))
	code := r.redirect.Get("code")
	if code == "" {
		b.h.t.Fatalf("authorizing: want a code, got %d %s %v", r.status, r.body, r.redirect)
	}
	return code
}

// nobody stands for a client that does not authenticate.
const nobody = "nobody"

// post posts a form as the client "app", as the client in the field "as", or with the access token in the
// field "bearer".
func (h *host) post(path string, form url.Values) *reply {
	client := form.Get("as")
	if client == "" {
		client = "app"
	}
	bearer := form.Get("bearer")
	form.Del("as")
	form.Del("bearer")
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.server.URL+path,
		strings.NewReader(form.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	switch {
	case bearer != "":
		r.Header.Set("Authorization", "Bearer "+bearer)
	case client != nobody:
		r.SetBasicAuth(client, secret)
	}
	return h.read(h.server.Client().Do(r))
}

func (h *host) exchange(code string, extra ...string) *reply {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}}
	for i := 0; i+1 < len(extra); i += 2 {
		form.Set(extra[i], extra[i+1])
	}
	return h.post("/token", form)
}

func (h *host) refresh(token string) *reply {
	return h.post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (h *host) introspect(token string) *reply {
	return h.post("/introspect", url.Values{"token": {token}})
}

// tokens signs a user in, authorizes and exchanges the code.
func (h *host) tokens(user string, changes ...string) (*browser, *reply) {
	h.t.Helper()
	b := h.browser().signIn(user)
	r := h.exchange(b.code(changes...))
	if r.status != http.StatusOK || r.str("access_token") == "" {
		h.t.Fatalf("exchanging a code: want tokens, got %d %s", r.status, r.body)
	}
	return b, r
}

func (h *host) mustActive(token string, want bool) {
	h.t.Helper()
	r := h.introspect(token)
	if active, _ := r.json["active"].(bool); r.status != http.StatusOK || active != want {
		h.t.Errorf("introspection: want active %v, got %d %s", want, r.status, r.body)
	}
}

func (r *reply) must(t *testing.T, status int, errorCode string) {
	t.Helper()
	if r.status != status || (errorCode != "" && r.str("error") != errorCode) {
		t.Errorf("want %d %q, got %d %s", status, errorCode, r.status, r.body)
	}
}

// end ends the subject's sessions as an operator would.
func (h *host) end(subject string) {
	h.t.Helper()
	if _, err := h.sessions.RemoveSessions(h.t.Context(),
		hostadapter.SessionRemoval{SubjectID: subject}); err != nil {
		h.t.Fatalf("removing the sessions of %s: %v", subject, err)
	}
}
