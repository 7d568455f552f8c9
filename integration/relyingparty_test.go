package integration

// A relying party, and users' browsers.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

type user struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Subject  string `json:"subject"`
	Name     string `json:"name"`
	Email    string `json:"email"`
}

var (
	ann = user{"ann", "ann's password", "1001", "Ann Example", "ann@example.com"}
	bob = user{"bob", "bob's password", "1002", "Bob Example", "bob@example.com"}
)

func randomText() string { return rand.Text() }

// signedIn is a relying party's record of a sign-in.
type signedIn struct {
	token   *oauth2.Token
	idToken string
	sid     string
	subject string
}

// relyingParty is a client built on x/oauth2 and go-oidc, with a back-channel logout endpoint that verifies
// strictly.
type relyingParty struct {
	id, secret string
	server     *httptest.Server

	config   *oauth2.Config
	verifier *oidc.IDTokenVerifier

	mutex         sync.Mutex
	pending       map[string]attempt // by state
	logins        []signedIn
	notifications []notification
	// answers are the statuses returned to the next logout tokens, which are not verified.
	answers []int
	seen    map[string]bool // jti
}

type attempt struct{ verifier, nonce string }

// notification is a logout token that passed the strict verifier, or the reason for its rejection.
type notification struct {
	token *oidc.LogoutToken
	err   error
}

func newRelyingParty(t testing.TB, id string) *relyingParty {
	t.Helper()
	rp := &relyingParty{
		id: id, secret: "secret of " + id + " " + randomText(), pending: map[string]attempt{},
		seen: map[string]bool{},
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /login", rp.login)
	routes.HandleFunc("GET /callback", rp.callback)
	routes.HandleFunc("POST /backchannel", rp.backChannel)
	rp.server = httptest.NewServer(routes)
	t.Cleanup(rp.server.Close)
	return rp
}

// registration returns the client's entry in the server's file of clients.
func (rp *relyingParty) registration() map[string]any {
	return map[string]any{
		"client_id": rp.id, "client_secret": rp.secret, "client_name": rp.id,
		"redirect_uris":              []string{rp.server.URL + "/callback"},
		"backchannel_logout_uri":     rp.server.URL + "/backchannel?from=op",
		"grant_types":                []string{"authorization_code", "refresh_token"},
		"response_types":             []string{"code"},
		"scope":                      "openid profile offline_access",
		"token_endpoint_auth_method": "client_secret_basic",
	}
}

// discover reads the provider's metadata.
func (rp *relyingParty) discover(t testing.TB, p *provider) {
	t.Helper()
	op, err := oidc.NewProvider(context.Background(), p.issuer)
	if err != nil {
		t.Fatalf("discovery: %v", err)
	}
	rp.verifier = op.Verifier(&oidc.Config{ClientID: rp.id})
	rp.config = &oauth2.Config{
		ClientID: rp.id, ClientSecret: rp.secret, Endpoint: op.Endpoint(),
		RedirectURL: rp.server.URL + "/callback",
		Scopes:      []string{oidc.ScopeOpenID, "profile", oidc.ScopeOfflineAccess},
	}
}

func (rp *relyingParty) login(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, rp.authorizeURL(), http.StatusFound)
}

func (rp *relyingParty) authorizeURL(extra ...oauth2.AuthCodeOption) string {
	state, a := randomText(), attempt{oauth2.GenerateVerifier(), randomText()}
	rp.mutex.Lock()
	rp.pending[state] = a
	rp.mutex.Unlock()
	return rp.config.AuthCodeURL(state,
		append(extra, oidc.Nonce(a.nonce), oauth2.S256ChallengeOption(a.verifier))...)
}

func (rp *relyingParty) callback(w http.ResponseWriter, r *http.Request) {
	login, err := rp.redeem(r.Context(), r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	rp.mutex.Lock()
	rp.logins = append(rp.logins, *login)
	rp.mutex.Unlock()
	_, _ = fmt.Fprintf(w, "signed in as %s", login.subject)
}

// redeem exchanges the code of a callback and verifies the ID token.
func (rp *relyingParty) redeem(ctx context.Context, callback url.Values) (*signedIn, error) {
	rp.mutex.Lock()
	a, known := rp.pending[callback.Get("state")]
	delete(rp.pending, callback.Get("state"))
	rp.mutex.Unlock()
	switch {
	case !known:
		return nil, errors.New("unknown state")
	case callback.Get("error") != "":
		return nil,
			fmt.Errorf("the provider answered %s: %s", callback.Get("error"),
				callback.Get("error_description"))
	}
	handedOut("authorization code", callback.Get("code"))
	handedOut("code verifier", a.verifier)
	token, err := rp.config.Exchange(ctx, callback.Get("code"), oauth2.VerifierOption(a.verifier))
	if err != nil {
		return nil, err
	}
	raw, _ := token.Extra("id_token").(string)
	handedOut("access token", token.AccessToken)
	handedOut("refresh token", token.RefreshToken)
	handedOut("ID token", raw)
	idToken, err := rp.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	var claims struct {
		SID      string `json:"sid"`
		AuthTime int64  `json:"auth_time"`
	}
	if err := idToken.Claims(&claims); err != nil {
		return nil, err
	}
	if idToken.Nonce != a.nonce || claims.SID == "" || claims.AuthTime == 0 {
		return nil,
			fmt.Errorf("ID token with nonce match %t, sid %q, auth_time %d", idToken.Nonce == a.nonce,
				claims.SID, claims.AuthTime)
	}
	return &signedIn{token: token, idToken: raw, sid: claims.SID, subject: idToken.Subject}, nil
}

func (rp *relyingParty) backChannel(w http.ResponseWriter, r *http.Request) {
	rp.mutex.Lock()
	defer rp.mutex.Unlock()
	if len(rp.answers) > 0 {
		status := rp.answers[0]
		rp.answers = rp.answers[1:]
		refuse(w, status)
		return
	}
	token, err := rp.verifyLogout(r)
	rp.notifications = append(rp.notifications, notification{token, err})
	if err != nil {
		refuse(w, http.StatusBadRequest)
	}
}

// refuse rejects a logout token. A 400 with an error is final (Back-Channel Logout 1.0, section 2.8).
func refuse(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"error":"invalid_request"}`))
}

// verifyLogout is strict: it rejects whatever any known relying party rejects.
func (rp *relyingParty) verifyLogout(r *http.Request) (*oidc.LogoutToken, error) {
	switch {
	case r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
		return nil, fmt.Errorf("content type %q", r.Header.Get("Content-Type"))
	case r.ContentLength <= 0 || len(r.TransferEncoding) > 0:
		return nil, errors.New("body without Content-Length")
	case r.URL.Query().Get("from") != "op":
		return nil, errors.New("the logout URI's query was lost")
	}
	handedOut("logout token", r.PostFormValue("logout_token"))
	token, err := rp.verifier.VerifyLogout(r.Context(), r.PostFormValue("logout_token"))
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return nil, err
	}
	_, hasNonce := claims["nonce"]
	switch {
	case hasNonce:
		return nil, errors.New("logout token has a nonce")
	case token.SessionID == "":
		return nil, errors.New("logout token has no sid")
	case !slices.Equal(token.Audience, []string{rp.id}):
		return nil, fmt.Errorf("logout token for %v", token.Audience)
	case token.TokenID == "" || rp.seen[token.TokenID]:
		return nil, errors.New("logout token with a jti that is missing or was used before")
	case token.Expiry.Sub(token.IssuedAt) > 2*time.Minute:
		return nil, fmt.Errorf("logout token lives %v", token.Expiry.Sub(token.IssuedAt))
	}
	rp.seen[token.TokenID] = true
	return token, nil
}

// told returns how often the client was notified of the end of a session. A rejected logout token fails the
// test.
func (rp *relyingParty) told(t testing.TB, sid string) int {
	t.Helper()
	rp.mutex.Lock()
	defer rp.mutex.Unlock()
	n := 0
	for _, notification := range rp.notifications {
		if notification.err != nil {
			t.Fatalf("%s refused a logout token: %v", rp.id, notification.err)
		}
		if notification.token.SessionID == sid {
			n++
		}
	}
	return n
}

func (rp *relyingParty) answerNext(statuses ...int) {
	rp.mutex.Lock()
	defer rp.mutex.Unlock()
	rp.answers = statuses
}

func (rp *relyingParty) unanswered() int {
	rp.mutex.Lock()
	defer rp.mutex.Unlock()
	return len(rp.answers)
}

func (rp *relyingParty) lastLogin(t testing.TB) signedIn {
	t.Helper()
	rp.mutex.Lock()
	defer rp.mutex.Unlock()
	if len(rp.logins) == 0 {
		t.Fatalf("no user has signed in at %s", rp.id)
	}
	return rp.logins[len(rp.logins)-1]
}

// browser is a user agent with cookies.
type browser struct {
	client *http.Client
	// forms counts the pages with a form for the user.
	passwords, consents int
}

func newBrowser() *browser {
	jar, _ := cookiejar.New(nil) // it never fails
	return &browser{client: &http.Client{Jar: jar, Transport: wantsPages{}}}
}

// wantsPages sends a browser's Accept header, and records the cookies of responses.
type wantsPages struct{}

func (wantsPages) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	response, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		for _, cookie := range response.Cookies() {
			if len(cookie.Value) >= shortestSecret {
				handedOut("cookie", cookie.Value)
			}
		}
	}
	return response, err
}

var formToken = regexp.MustCompile(`name="form" value="([^"]*)"`)

// signIn opens the client's sign-in and fills in the provider's pages as the user until the client shows the
// signed-in user.
func (b *browser) signIn(t testing.TB, rp *relyingParty, p *provider, u user) signedIn {
	t.Helper()
	page := b.open(t, rp.server.URL+"/login", p, u)
	if !strings.Contains(page, "signed in as "+u.Subject) {
		t.Fatalf("%s at %s got:\n%.2000s", u.Username, rp.id, page)
	}
	return rp.lastLogin(t)
}

// open follows an address through the provider's pages and returns the last page.
func (b *browser) open(t testing.TB, address string, p *provider, u user) string {
	t.Helper()
	page := b.do(t, func() (*http.Response, error) { return b.client.Get(address) })
	for range 4 {
		form := formToken.FindStringSubmatch(page)
		if form == nil {
			break
		}
		values := url.Values{"form": {html.UnescapeString(form[1])}}
		handedOut("form", values.Get("form"))
		path := "/consent"
		if strings.Contains(page, `name="password"`) {
			path = "/login"
			values.Set("username", u.Username)
			values.Set("password", u.Password)
			b.passwords++
		} else {
			values.Set("decision", "allow")
			b.consents++
		}
		page = b.do(t, func() (*http.Response, error) { return b.client.PostForm(p.issuer+path, values) })
	}
	return page
}

func (b *browser) do(t testing.TB, send func() (*http.Response, error)) string {
	t.Helper()
	response, err := send()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// code makes a silent authorization request and returns the callback's parameters, with the code not
// redeemed.
func (b *browser) code(t testing.TB, rp *relyingParty) url.Values {
	t.Helper()
	client := *b.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Get(rp.authorizeURL(oauth2.SetAuthURLParam("prompt", "none")))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	location, err := response.Location()
	if err != nil {
		t.Fatalf("authorization returned %d without a redirect", response.StatusCode)
	}
	return location.Query()
}
