package torture

// The host under torture, as a process.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	issuer       = "http://localhost:9000"
	clientSecret = "secret-of-every-client"
	callback     = "https://client.example/callback"
	// deliveryTimeout is short, for relying parties that never answer.
	deliveryTimeout = 2 * time.Second
)

// hostConfig is the configuration of a host, possibly in a different process.
type hostConfig struct {
	Stores    map[string]string // folders of databases, or schemas, by the names of the stores
	Database  *database         // database of shared stores, which have schemas instead of folders
	Serving   string            // the configured store
	Clients   map[string]string // logout URIs by client id
	Idle      time.Duration
	RenewEach time.Duration
}

// host is a small fosite server with sessions, whose users need no password and consent to everything.
type host struct {
	sessions *fositestore.Sessions
	provider fosite.OAuth2Provider
	handler  http.Handler
	// ahead is the offset of its clock from the machine's.
	ahead *atomic.Int64
}

// party is a client as registered at the host.
type party struct {
	*fosite.DefaultClient
	uri string
}

// GetBackChannelLogoutURI returns the client's logout URI.
func (p party) GetBackChannelLogoutURI() string { return p.uri }

// plainHasher avoids bcrypt, which would dominate the load.
type plainHasher struct{}

func (plainHasher) Hash(_ context.Context, secret []byte) ([]byte, error) { return secret, nil }

func (plainHasher) Compare(_ context.Context, hash, secret []byte) error {
	if subtle.ConstantTimeCompare(hash, secret) != 1 {
		return errors.New("wrong secret")
	}
	return nil
}

// signingKey is the same after a restart of the process.
var signingKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat("k", 32)))
	if err != nil {
		panic(err)
	}
	return key
})

// openers returns functions that open backends, by the names of their stores.
type openers map[string]func(ctx context.Context) (sessions.Backend, error)

func newHost(ctx context.Context, config hostConfig, backends openers, logger *slog.Logger) (*host, error) {
	memory := storage.NewMemoryStore()
	for id, uri := range config.Clients {
		memory.Clients[id] = party{&fosite.DefaultClient{
			ID: id, Secret: []byte(clientSecret), RedirectURIs: []string{callback},
			GrantTypes:    []string{"authorization_code", "refresh_token"},
			ResponseTypes: []string{"code"}, Scopes: []string{"openid", "offline_access"},
		}, uri}
	}
	server := &fosite.Config{
		IDTokenIssuer: issuer, GlobalSecret: []byte(strings.Repeat("s", 32)),
		ClientSecretsHasher: plainHasher{},
		// refresh tokens also without offline access, which end with their session
		RefreshTokenScopes: []string{},
	}
	key := func(context.Context) (any, error) { return signingKey(), nil }
	ahead := &atomic.Int64{}
	sessions, err := fositestore.Attach(ctx, fositestore.Config{
		Fosite: server, Store: memory, Key: key,
		Host: hostadapter.Config{
			Swap:     hostadapter.SwapConfig{Backends: backends, BackendName: config.Serving},
			Lifetime: hostadapter.LifetimeConfig{IdleTimeout: config.Idle, RenewEvery: config.RenewEach},
			Logout: hostadapter.LogoutConfig{
				DeliveryTimeout: deliveryTimeout,
				AllowCIDRs:      []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
			},
			Now:    func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
			Logger: logger,
		},
	})
	if err != nil {
		return nil, err
	}
	composed := compose.Compose(server, sessions.Store(), &compose.CommonStrategy{
		CoreStrategy:               compose.NewOAuth2HMACStrategy(server),
		OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(key, server),
		Signer:                     &jwt.DefaultSigner{GetPrivateKey: key},
	}, compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2RefreshTokenGrantFactory,
		compose.OpenIDConnectExplicitFactory,
		compose.OpenIDConnectRefreshFactory, compose.OAuth2TokenIntrospectionFactory)
	h := &host{sessions: sessions, provider: sessions.Provider(composed), ahead: ahead}
	router := mux.NewRouter()
	router.Use(sessions.Middleware)
	router.HandleFunc("/sign-in", h.signIn)
	router.HandleFunc("/sign-out", h.signOut)
	router.HandleFunc("/authorize", h.authorize)
	router.HandleFunc("/token", h.token)
	router.HandleFunc("/introspect", h.introspect)
	authorize := func(*http.Request, admin.Permission) (admin.Actor, error) {
		return admin.Actor{Name: "torturer"}, nil
	}
	admin.Mount(router.PathPrefix("/admin").Subrouter(), sessions, authorize)
	h.handler = router
	return h, nil
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, ticketstore.ErrUnavailable) || errors.Is(err, context.Canceled) {
		status = http.StatusServiceUnavailable
	}
	http.Error(w, err.Error(), status)
}

func (h *host) signIn(w http.ResponseWriter, r *http.Request) {
	session, err := h.sessions.SignIn(w, r, hostadapter.Identity{Subject: r.FormValue("user")})
	if err != nil {
		fail(w, err)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"sid": session.SessionID})
}

func (h *host) signOut(w http.ResponseWriter, r *http.Request) {
	if err := h.sessions.SignOut(w, r); err != nil {
		fail(w, err)
	}
}

func newSession(subject string) *openid.DefaultSession {
	s := openid.NewDefaultSession()
	s.Subject = subject
	s.Claims.Subject = subject
	s.Claims.AuthTime = time.Now()
	s.Claims.RequestedAt = time.Now()
	return s
}

func (h *host) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	ar, err := h.provider.NewAuthorizeRequest(ctx, r)
	if err != nil {
		h.provider.WriteAuthorizeError(ctx, w, ar, err)
		return
	}
	session, err := h.sessions.Session(r)
	switch {
	case err != nil:
		fail(w, err)
		return
	case session == nil:
		http.Error(w, "login required", http.StatusUnauthorized)
		return
	}
	for _, scope := range ar.GetRequestedScopes() {
		ar.GrantScope(scope)
	}
	response, err := h.provider.NewAuthorizeResponse(ctx, ar, newSession(session.SubjectID))
	if err != nil {
		h.provider.WriteAuthorizeError(ctx, w, ar, err)
		return
	}
	h.provider.WriteAuthorizeResponse(ctx, w, ar, response)
}

func (h *host) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	ar, err := h.provider.NewAccessRequest(ctx, r, newSession(""))
	if err != nil {
		h.provider.WriteAccessError(ctx, w, ar, err)
		return
	}
	response, err := h.provider.NewAccessResponse(ctx, ar)
	if err != nil {
		h.provider.WriteAccessError(ctx, w, ar, err)
		return
	}
	h.provider.WriteAccessResponse(ctx, w, ar, response)
}

func (h *host) introspect(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	response, err := h.provider.NewIntrospectionRequest(ctx, r, newSession(""))
	if err != nil {
		h.provider.WriteIntrospectionError(ctx, w, err)
		return
	}
	h.provider.WriteIntrospectionResponse(ctx, w, response)
}
