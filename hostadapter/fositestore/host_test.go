package fositestore_test

// The host of these tests: adapter, store, provider and their endpoints.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"golang.org/x/crypto/bcrypt"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/plugin/badger"
)

const (
	issuer      = "http://localhost:9000"
	redirectURI = "https://app.example/callback"
	secret      = "app-secret-app-secret"
	state       = "state-state-state"
	nonce       = "nonce-nonce-nonce"
)

var hashed = sync.OnceValue(func() []byte {
	hash, err := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
	if err != nil {
		panic(err)
	}
	return hash
})

var signingKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// host is a minimal fosite server with sessions.
type host struct {
	t        *testing.T
	backend  *watched
	memory   *storage.MemoryStore
	fosite   *fosite.Config
	sessions *fositestore.Sessions
	provider fosite.OAuth2Provider
	server   *httptest.Server
	// newSession returns the session that the host passes to fosite.
	newSession func(subject string) fosite.Session
	// ownContext makes the host pass its own contexts to fosite.
	ownContext bool
	// compose composes fosite's provider; the default is ComposeAllEnabled.
	compose func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider
	// bare makes the host use the Store without the Provider, and bind grants itself.
	bare bool
}

type option func(*host, *fositestore.Config)

func newHost(t *testing.T, options ...option) *host {
	t.Helper()
	engine, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir()}, quiet())
	if err != nil {
		t.Fatalf("opening the engine: %v", err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	h := &host{t: t, backend: watch(engine), memory: newMemory(), newSession: openIDSession}
	h.fosite = &fosite.Config{
		IDTokenIssuer: issuer, AccessTokenIssuer: issuer, GlobalSecret: []byte(strings.Repeat("s", 32)),
		TokenURL:                       issuer + "/token",
		EnablePKCEPlainChallengeMethod: true,
	}
	config := fositestore.Config{
		Backend: h.backend, Fosite: h.fosite, Store: h.memory,
		Key:  func(context.Context) (any, error) { return signingKey(), nil },
		Host: hostadapter.Config{Logger: quiet()},
	}
	for _, option := range options {
		option(h, &config)
	}
	h.sessions, err = fositestore.Attach(t.Context(), config)
	if err != nil {
		t.Fatalf("attaching: %v", err)
	}
	t.Cleanup(func() { _ = h.sessions.Close() })
	if h.compose == nil {
		h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
			return compose.ComposeAllEnabled(config, store, signingKey())
		}
	}
	h.provider = h.compose(h.fosite, h.sessions.Store())
	if !h.bare {
		h.provider = h.sessions.Provider(h.provider)
	}
	h.serve()
	return h
}

func openIDSession(subject string) fosite.Session {
	session := openid.NewDefaultSession()
	session.Subject, session.Claims.Subject = subject, subject
	return session
}

func newMemory() *storage.MemoryStore {
	memory := storage.NewMemoryStore()
	for _, id := range []string{"app", "other"} {
		memory.Clients[id] = &fosite.DefaultClient{
			ID: id, Secret: hashed(), RedirectURIs: []string{redirectURI},
			GrantTypes:    grantTypes,
			ResponseTypes: append([]string{"code"}, frontResponseTypes...),
			Scopes:        []string{"openid", "offline_access", "photos", "albums.*"},
			Audience:      []string{"https://api.example/"},
		}
	}
	addAssertingClients(memory)
	memory.Users["peter"] = storage.MemoryUserRelation{Username: "peter", Password: "secret"}
	return memory
}

var (
	grantTypes = []string{
		"authorization_code", "refresh_token", "client_credentials", "password", "implicit", jwtBearer,
	}
	// frontResponseTypes are the response types with tokens from the authorization endpoint.
	frontResponseTypes = []string{
		"token", "id_token", "code id_token", "code token", "id_token token", "code id_token token",
	}
)

func (h *host) serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		if _, err := h.sessions.SignIn(w, r,
			hostadapter.Identity{Subject: r.FormValue("user"), ACR: "1", AMR: []string{"pwd"}}); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
		if err := h.sessions.SignOut(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.Handle("/end_session", h.sessions.EndSession())
	mux.HandleFunc("/whoami", func(w http.ResponseWriter, r *http.Request) {
		session, err := h.sessions.Session(r)
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		case session != nil:
			_, _ = w.Write([]byte(session.SubjectID))
		}
	})
	mux.HandleFunc("/authorize", h.authorize)
	mux.HandleFunc("/token", h.token)
	mux.HandleFunc("/introspect", func(w http.ResponseWriter, r *http.Request) {
		ctx := h.ctx(r)
		response, err := h.provider.NewIntrospectionRequest(ctx, r, h.newSession(""))
		if err != nil {
			h.provider.WriteIntrospectionError(ctx, w, err)
			return
		}
		h.provider.WriteIntrospectionResponse(ctx, w, response)
	})
	mux.HandleFunc("/revoke", func(w http.ResponseWriter, r *http.Request) {
		ctx := h.ctx(r)
		h.provider.WriteRevocationResponse(ctx, w, h.provider.NewRevocationRequest(ctx, r))
	})
	mux.HandleFunc("/par", h.push)
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		_, request, err := h.provider.IntrospectToken(h.ctx(r), fosite.AccessTokenFromRequest(r),
			fosite.AccessToken, h.newSession(""))
		if err != nil {
			h.provider.WriteAccessError(h.ctx(r), w, nil, err)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"sub": request.GetSession().GetSubject()})
	})
	h.server = httptest.NewServer(h.sessions.Middleware(mux))
	h.t.Cleanup(h.server.Close)
}

func (h *host) ctx(r *http.Request) context.Context {
	if h.ownContext {
		return context.Background()
	}
	return r.Context()
}

// authorize grants all requests of the signed-in user. The parameter user stands for a posted login form.
func (h *host) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := h.ctx(r)
	request, err := h.provider.NewAuthorizeRequest(ctx, r)
	if err != nil {
		h.provider.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	session, err := h.sessions.Session(r)
	if err != nil {
		h.provider.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	subject := r.FormValue("claim")
	if user := r.FormValue("user"); user != "" {
		session, err = h.sessions.SignIn(w, r, hostadapter.Identity{Subject: user})
		if err != nil {
			h.provider.WriteAuthorizeError(ctx, w, request, err)
			return
		}
	} else if subject == "" && (session == nil || h.sessions.NeedsSignIn(session, request)) {
		http.Error(w, "login form", http.StatusUnauthorized)
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	for _, audience := range request.GetRequestedAudience() {
		request.GrantAudience(audience)
	}
	if subject == "" {
		subject = session.SubjectID
	}
	granted := h.newSession(subject)
	if h.bare {
		if err := fositestore.Bind(granted, session); err != nil {
			h.t.Errorf("binding: %v", err)
		}
	}
	response, err := h.provider.NewAuthorizeResponse(ctx, request, granted)
	if err != nil {
		h.provider.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	h.provider.WriteAuthorizeResponse(ctx, w, request, response)
}

func (h *host) token(w http.ResponseWriter, r *http.Request) {
	request, err := h.provider.NewAccessRequest(h.ctx(r), r, h.newSession(""))
	if err != nil {
		h.provider.WriteAccessError(h.ctx(r), w, request, err)
		return
	}
	if request.GetGrantTypes().HasOneOf("client_credentials", "password") {
		for _, scope := range request.GetRequestedScopes() {
			request.GrantScope(scope)
		}
		for _, audience := range request.GetRequestedAudience() {
			request.GrantAudience(audience)
		}
	}
	response, err := h.provider.NewAccessResponse(h.ctx(r), request)
	if err != nil {
		h.provider.WriteAccessError(h.ctx(r), w, request, err)
		return
	}
	h.provider.WriteAccessResponse(h.ctx(r), w, request, response)
}

func (h *host) push(w http.ResponseWriter, r *http.Request) {
	ctx := h.ctx(r)
	request, err := h.provider.NewPushedAuthorizeRequest(ctx, r)
	if err != nil {
		h.provider.WritePushedAuthorizeError(ctx, w, request, err)
		return
	}
	response, err := h.provider.NewPushedAuthorizeResponse(ctx, request, h.newSession(""))
	if err != nil {
		h.provider.WritePushedAuthorizeError(ctx, w, request, err)
		return
	}
	h.provider.WritePushedAuthorizeResponse(ctx, w, request, response)
}
