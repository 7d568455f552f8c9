package main

// The fosite servers: the same routes on each store.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/plugin"
)

const (
	clientID     = "load"
	clientSecret = "load-secret"
	callback     = "https://load.example/callback"
)

// The stores that a server can use.
const (
	storeNone     = "nothing" // a handler that does nothing
	storeMemory   = "memory"  // fosite's own
	storeBadger   = "badger"  // our plugins
	storePostgres = "postgres"

	uncached = "-uncached" // suffix of a plugin's store: each introspection calls the plugin
)

// host is a fosite server whose users need no password.
type host struct {
	handler  http.Handler
	provider fosite.OAuth2Provider
	// signIn signs in a new user. user returns the signed-in user, or "".
	signIn func(w http.ResponseWriter, r *http.Request) error
	user   func(r *http.Request) (string, error)
	close  func() error
}

// hostConfig configures a host.
type hostConfig struct {
	kind
	settings any    // settings of the plugin
	debug    string // socket of the plugin's debug server
	logger   *slog.Logger
}

func newHost(ctx context.Context, config hostConfig) (*host, error) {
	h := &host{close: func() error { return nil }}
	switch config.store {
	case storeNone:
		h.handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	case storeMemory:
		h.provider = newProvider(fositeConfig(), &lockedMemory{MemoryStore: clients()})
		h.signIn, h.user = signedCookie()
		h.handler = h.routes()
	default:
		return h, h.attach(ctx, config)
	}
	return h, nil
}

// attach starts the plugin, which is this program too, and attaches sessions to the server.
func (h *host) attach(ctx context.Context, config hostConfig) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t, err := newTelemetry(config.telemetry)
	if err != nil {
		return err
	}
	cache := int64(0)
	if strings.HasSuffix(config.store, uncached) {
		cache = -1
	}
	backend, err := plugin.Open(ctx, plugin.Config{
		Path: self, Settings: config.settings, Logger: config.logger,
		Env: []string{debugEnv + "=" + config.debug, engineEnv + "=" + config.engine()}, Cache: cache,
		TracerProvider: t.library.TracerProvider, MeterProvider: t.library.MeterProvider,
	})
	if err != nil {
		return err
	}
	h.close = backend.Close
	settings := fositeConfig()
	sessions, err := fositestore.Attach(ctx, fositestore.Config{
		Backend: backend, Fosite: settings, Store: clients(), Key: signingKey,
		Host: hostadapter.Config{Logger: config.logger, Telemetry: t.library},
	})
	if err != nil {
		return errors.Join(err, backend.Close())
	}
	h.close = func() error { return errors.Join(sessions.Close(), backend.Close()) }
	h.provider = sessions.Provider(newProvider(settings, sessions.Store()))
	h.signIn = func(w http.ResponseWriter, r *http.Request) error {
		ann := hostadapter.Identity{Subject: rand.Text(), DisplayName: "Ann Example"}
		_, err := sessions.SignIn(w, r, ann)
		return err
	}
	h.user = func(r *http.Request) (string, error) {
		session, err := sessions.Session(r)
		if err != nil || session == nil {
			return "", err
		}
		return session.SubjectID, nil
	}
	routes := h.routes()
	routes.Handle("/admin/", http.StripPrefix("/admin", admin.Handler(admin.Config{
		Operations: sessions.Operations(),
		Authorize: func(*http.Request, admin.Permission) (admin.Actor, error) {
			return admin.Actor{ID: "load"}, nil
		},
	})))
	h.handler = t.traced(sessions.Middleware(routes))
	return nil
}

// routes returns the endpoints of an OpenID provider, and those that sign users in and identify them.
func (h *host) routes() *http.ServeMux {
	routes := http.NewServeMux()
	routes.HandleFunc("/sign-in", func(w http.ResponseWriter, r *http.Request) {
		if err := h.signIn(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	routes.HandleFunc("/session", func(w http.ResponseWriter, r *http.Request) {
		if user, err := h.user(r); err != nil || user == "" {
			http.Error(w, fmt.Sprintf("nobody is signed in: %v", err), http.StatusUnauthorized)
		}
	})
	routes.HandleFunc("/authorize", h.authorize)
	routes.HandleFunc("/token", h.token)
	routes.HandleFunc("/introspect", h.introspect)
	return routes
}

func (h *host) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := h.provider.NewAuthorizeRequest(ctx, r)
	var user string
	if err == nil {
		if user, err = h.user(r); err == nil && user == "" {
			err = fosite.ErrLoginRequired
		}
	}
	if err == nil {
		for _, scope := range request.GetRequestedScopes() {
			request.GrantScope(scope)
		}
		var response fosite.AuthorizeResponder
		if response, err = h.provider.NewAuthorizeResponse(ctx, request, newSession(user)); err == nil {
			h.provider.WriteAuthorizeResponse(ctx, w, request, response)
			return
		}
	}
	h.provider.WriteAuthorizeError(ctx, w, request, err)
}

func (h *host) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := h.provider.NewAccessRequest(ctx, r, newSession(""))
	if err == nil {
		var response fosite.AccessResponder
		if response, err = h.provider.NewAccessResponse(ctx, request); err == nil {
			h.provider.WriteAccessResponse(ctx, w, request, response)
			return
		}
	}
	h.provider.WriteAccessError(ctx, w, request, err)
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

func newSession(subject string) *openid.DefaultSession {
	s := openid.NewDefaultSession()
	s.Subject = subject
	s.Claims.Subject = subject
	s.Claims.AuthTime = time.Now()
	s.Claims.RequestedAt = time.Now()
	return s
}

// signedCookie signs users in with a signed cookie only, as servers without sessions do.
func signedCookie() (func(http.ResponseWriter, *http.Request) error, func(*http.Request) (string, error)) {
	key := []byte(rand.Text())
	sign := func(user string) string {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(user))
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	signIn := func(w http.ResponseWriter, _ *http.Request) error {
		user := rand.Text()
		http.SetCookie(w, &http.Cookie{
			Name: "user", Value: user + "." + sign(user), Path: "/", HttpOnly: true, Secure: true,
			SameSite: http.SameSiteLaxMode,
		})
		return nil
	}
	return signIn, func(r *http.Request) (string, error) {
		cookie, err := r.Cookie("user")
		if err != nil {
			return "", err
		}
		user, sum, _ := strings.Cut(cookie.Value, ".")
		if !hmac.Equal([]byte(sum), []byte(sign(user))) {
			return "", errors.New("the cookie's signature is wrong")
		}
		return user, nil
	}
}

// lockedMemory fixes a race in fosite's store: RevokeRefreshToken reads a map without its lock.
type lockedMemory struct {
	*storage.MemoryStore
	mutex sync.RWMutex
}

func (s *lockedMemory) GetRefreshTokenSession(
	ctx context.Context, signature string, session fosite.Session,
) (fosite.Requester, error) {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	return s.MemoryStore.GetRefreshTokenSession(ctx, signature, session)
}

func (s *lockedMemory) RevokeRefreshToken(ctx context.Context, requestID string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.MemoryStore.RevokeRefreshToken(ctx, requestID)
}

func (s *lockedMemory) CreateRefreshTokenSession(
	ctx context.Context, signature, access string, request fosite.Requester,
) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.MemoryStore.CreateRefreshTokenSession(ctx, signature, access, request)
}

func (s *lockedMemory) RotateRefreshToken(ctx context.Context, requestID, signature string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.MemoryStore.RotateRefreshToken(ctx, requestID, signature)
}

// plainHasher excludes the cost of hashing client secrets from the measurement.
type plainHasher struct{}

var _ fosite.Hasher = plainHasher{}

func (plainHasher) Hash(_ context.Context, secret []byte) ([]byte, error) { return secret, nil }

func (plainHasher) Compare(_ context.Context, hash, secret []byte) error {
	if subtle.ConstantTimeCompare(hash, secret) != 1 {
		return errors.New("wrong secret")
	}
	return nil
}

func clients() *storage.MemoryStore {
	memory := storage.NewMemoryStore()
	memory.Clients[clientID] = &fosite.DefaultClient{
		ID: clientID, Secret: []byte(clientSecret), RedirectURIs: []string{callback},
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
		Scopes: []string{"openid", "offline_access"},
	}
	return memory
}

func fositeConfig() *fosite.Config {
	return &fosite.Config{
		IDTokenIssuer: "http://localhost:9000",
		// Shared by all hosts of a store. It protects nothing: the servers run only during the measurement.
		GlobalSecret:         []byte("thirty-two bytes, or a few more than that"),
		ClientSecretsHasher:  plainHasher{},
		RefreshTokenLifespan: 24 * time.Hour,
	}
}

var makeKey = sync.OnceValues(func() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
})

func signingKey(context.Context) (any, error) { return makeKey() }

func newProvider(config *fosite.Config, store any) fosite.OAuth2Provider {
	return compose.Compose(config, store, &compose.CommonStrategy{
		CoreStrategy:               compose.NewOAuth2HMACStrategy(config),
		OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(signingKey, config),
		Signer:                     &jwt.DefaultSigner{GetPrivateKey: signingKey},
	}, compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2RefreshTokenGrantFactory,
		compose.OpenIDConnectExplicitFactory, compose.OpenIDConnectRefreshFactory,
		compose.OAuth2TokenIntrospectionFactory, compose.OAuth2PKCEFactory)
}
