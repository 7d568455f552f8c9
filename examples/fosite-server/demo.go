package main

// The demo clients: relying parties with their own sessions.

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// demoClient is a relying party as it would run on another machine: it knows only the server's issuer URL,
// has its own sessions, and ends them when it receives a logout token.
type demoClient struct {
	id     string
	name   string
	accent string
	secret string
	url    string
	issuer string
	others []link
	logger *slog.Logger
	now    func() time.Time

	sessions *demoSessions
	tokens   *logoutTokens
	// stop is closed when the listener shuts down, to end event streams.
	stop chan struct{}

	mu       sync.Mutex
	provider *oidc.Provider
}

// link is a link on the page.
type link struct{ Name, URL string }

// newDemoClient returns a demo client with the given URL.
func newDemoClient(id, name, accent, url, issuer string, logger *slog.Logger) *demoClient {
	return &demoClient{
		id: id, name: name, accent: accent, secret: randomText(), url: url, issuer: issuer,
		logger: logger.With("client_id", id),
		now:    time.Now, sessions: newDemoSessions(), tokens: newLogoutTokens(), stop: make(chan struct{}),
	}
}

// registration returns the client's registration at the server.
func (d *demoClient) registration(hash secretHasher) *client {
	c := &client{
		id: d.id, name: d.name, secretHash: hash.sum([]byte(d.secret)),
		redirectURIs:           []string{d.url + "/callback"},
		postLogoutRedirectURIs: []string{d.url + "/"},
		backChannelURI:         d.url + "/backchannel-logout",
		backChannelSession:     true,
		scopes:                 supportedScopes,
		grantTypes:             []string{"authorization_code", "refresh_token"},
		responseTypes:          []string{"code"},
		authMethod:             authBasic,
	}
	if d.id == demoTrusted {
		c.skipConsent = true
		c.frontChannelURI, c.frontChannelSession = d.url+"/frontchannel-logout", true
		yes := true
		c.coordinate = &yes // its activity extends the session
	}
	return c
}

func (d *demoClient) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.home)
	mux.HandleFunc("GET /check", d.check)
	mux.HandleFunc("GET /login", d.login)
	mux.HandleFunc("GET /callback", d.callback)
	mux.HandleFunc("POST /logout", d.logout)
	mux.HandleFunc("GET /events", d.events)
	mux.HandleFunc("POST /backchannel-logout", d.backChannelLogout)
	mux.HandleFunc("GET /frontchannel-logout", d.frontChannelLogout)
	mux.Handle("GET /static/", staticHandler())
	protection := http.NewCrossOriginProtection()
	// a server sends it, authenticated by the token's signature
	protection.AddInsecureBypassPattern("POST /backchannel-logout")
	return withSecurityHeaders(protection.Handler(mux))
}

// discover returns the server's metadata, fetched at first use because the server starts after its clients.
func (d *demoClient) discover(ctx context.Context) (*oidc.Provider, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.provider != nil {
		return d.provider, nil
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, demoHTTP), demoTimeout)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, d.issuer)
	if err != nil {
		return nil, fmt.Errorf("the server cannot be reached: %w", err)
	}
	d.provider = provider
	return provider, nil
}

const demoTimeout = 10 * time.Second

// demoHTTP is the HTTP client with which demo clients call the server.
var demoHTTP = &http.Client{Timeout: demoTimeout}

func (d *demoClient) oauth2(provider *oidc.Provider) *oauth2.Config {
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	return &oauth2.Config{
		ClientID: d.id, ClientSecret: d.secret, Endpoint: endpoint, RedirectURL: d.url + "/callback",
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}
}

// demoPage is the data of the demo client's page.
type demoPage struct {
	demoView
	App, Issuer    string
	Problem, Check string
	Others         []link
}

func (d *demoClient) home(w http.ResponseWriter, r *http.Request) {
	d.show(w, r, http.StatusOK, "", "")
}

func (d *demoClient) show(w http.ResponseWriter, r *http.Request, status int, problem, check string) {
	view := d.sessions.view(cookieValue(r, d.cookie("session")))
	data := demoPage{
		demoView: view, App: d.name, Issuer: d.issuer, Problem: problem, Check: check, Others: d.others,
	}
	p := page{Title: view.title(), Site: d.name, Accent: d.accent, Script: "/static/demo.js", Data: data}
	if err := render(w, status, "demo", p, d.issuer); err != nil {
		d.logger.WarnContext(r.Context(), "page was not written", "error", err)
	}
}

func (d *demoClient) fail(w http.ResponseWriter, r *http.Request, status int, err error) {
	d.logger.WarnContext(r.Context(), "sign-in at the demo client failed", "error", err)
	d.show(w, r, status, err.Error(), "")
}

// login redirects the browser to the server.
func (d *demoClient) login(w http.ResponseWriter, r *http.Request) {
	provider, err := d.discover(r.Context())
	if err != nil {
		d.fail(w, r, http.StatusBadGateway, err)
		return
	}
	attempt := demoAttempt{
		state: randomText(), nonce: randomText(), verifier: oauth2.GenerateVerifier(), started: d.now(),
	}
	d.setCookie(w, "login", d.sessions.begin(attempt))
	target := d.oauth2(provider).AuthCodeURL(attempt.state, oidc.Nonce(attempt.nonce),
		oauth2.S256ChallengeOption(attempt.verifier))
	http.Redirect(w, r, target, http.StatusFound)
}

// callback handles the redirect back from the server, with the code.
func (d *demoClient) callback(w http.ResponseWriter, r *http.Request) {
	attempt, ok := d.sessions.finish(cookieValue(r, d.cookie("login")), r.URL.Query().Get("state"), d.now())
	if !ok {
		d.fail(w, r, http.StatusBadRequest, errSignInUnknown)
		return
	}
	if code := r.URL.Query().Get("error"); code != "" {
		d.fail(w, r, http.StatusForbidden, fmt.Errorf("the server returned: %s", code))
		return
	}
	session, err := d.exchange(r.Context(), r.URL.Query().Get("code"), attempt)
	if err != nil {
		d.fail(w, r, http.StatusBadGateway, err)
		return
	}
	d.sessions.forget(cookieValue(r, d.cookie("session")))
	d.setCookie(w, "session", d.sessions.add(session))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (d *demoClient) exchange(ctx context.Context, code string, attempt demoAttempt) (*demoSession, error) {
	provider, err := d.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, demoHTTP)
	token, err := d.oauth2(provider).Exchange(ctx, code, oauth2.VerifierOption(attempt.verifier))
	if err != nil {
		return nil, fmt.Errorf("code exchange failed: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	idToken, err := provider.Verifier(&oidc.Config{ClientID: d.id}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("the ID token is not valid: %w", err)
	}
	var claims struct {
		SessionID string `json:"sid"`
		AuthTime  int64  `json:"auth_time"`
		Name      string `json:"name"`
		Email     string `json:"email"`
	}
	if err := idToken.Claims(&claims); err != nil {
		return nil, fmt.Errorf("the ID token is not valid: %w", err)
	}
	if idToken.Nonce != attempt.nonce || claims.SessionID == "" {
		return nil, fmt.Errorf("the ID token is not valid: wrong nonce or no sid")
	}
	return &demoSession{
		subject: idToken.Subject, sessionID: claims.SessionID, name: cmp.Or(claims.Name, idToken.Subject),
		email:    claims.Email,
		authTime: time.Unix(claims.AuthTime, 0), started: d.now(), idToken: raw,
		accessToken: token.AccessToken,
	}, nil
}

// logout ends the local session and redirects the browser to the server's end_session_endpoint (RP-Initiated
// Logout 1.0).
func (d *demoClient) logout(w http.ResponseWriter, r *http.Request) {
	session := d.sessions.forget(cookieValue(r, d.cookie("session")))
	provider, err := d.discover(r.Context())
	if session == nil || err != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	var metadata struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := provider.Claims(&metadata); err != nil || metadata.EndSession == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	target := metadata.EndSession + "?" + formOf("id_token_hint", session.idToken, "client_id", d.id,
		"post_logout_redirect_uri", d.url+"/")
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// check calls the userinfo endpoint to show whether the access token is still valid.
func (d *demoClient) check(w http.ResponseWriter, r *http.Request) {
	token := d.sessions.accessToken(cookieValue(r, d.cookie("session")))
	provider, err := d.discover(r.Context())
	if token == "" || err != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	ctx := oidc.ClientContext(r.Context(), demoHTTP)
	info, err := provider.UserInfo(ctx,
		oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token, TokenType: "Bearer"}))
	if err != nil {
		d.show(w, r, http.StatusOK, "", "The server no longer accepts the access token.")
		return
	}
	d.show(w, r, http.StatusOK, "", "The server accepts the access token: it belongs to "+info.Subject+".")
}

// events notifies the page of changes to its session (server-sent events).
func (d *demoClient) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	id := cookieValue(r, d.cookie("session"))
	heartbeat := time.NewTicker(20 * time.Second)
	defer heartbeat.Stop()
	for {
		seen, changed := d.sessions.watch(id)
		message, err := json.Marshal(map[string]string{"seen": seen})
		if err == nil {
			_, err = fmt.Fprintf(w, "event: state\ndata: %s\n\n", message)
		}
		if err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-heartbeat.C: // send the same message again
		case <-r.Context().Done():
			return
		case <-d.stop:
			return
		}
	}
}
