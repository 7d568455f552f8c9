package integration

// The benchmark of flows: BenchmarkFlows.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
)

// What a fosite server's flows cost over HTTP with sessions in the plugin, durable writes on, beside fosite's
// own store in memory, which keeps nothing. ES256 and a plain comparison of client secrets: RS256 and bcrypt
// would hide what is measured here.
func BenchmarkFlows(b *testing.B) {
	flows := []struct {
		name string
		run  func(h *benchHost, b *testing.B, callers int)
	}{
		{"introspect", (*benchHost).introspections},
		{"refresh", (*benchHost).refreshes},
		{"exchange", (*benchHost).exchanges},
	}
	for _, flow := range flows {
		for _, callers := range []int{1, 64} {
			for _, store := range []struct {
				name string
				open func(b *testing.B) *benchHost
			}{{"memory", newMemoryHost}, {"plugin", newPluginHost}} {
				b.Run(fmt.Sprintf("flow=%s/callers=%d/store=%s", flow.name, callers, store.name),
					func(b *testing.B) {
						flow.run(store.open(b), b, callers)
					})
			}
		}
	}
}

const (
	benchClient   = "bench"
	benchSecret   = "bench-secret"
	benchCallback = "https://bench.example/callback"
)

// benchHost is a fosite server whose users need no password.
type benchHost struct {
	server   *httptest.Server
	client   *http.Client
	provider fosite.OAuth2Provider
}

// lockedMemory mends a race of fosite's store, whose RevokeRefreshToken reads a map without its lock.
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

// plainHasher keeps the cost of hashing client secrets out of the figures.
type plainHasher struct{}

func (plainHasher) Hash(_ context.Context, secret []byte) ([]byte, error) { return secret, nil }

func (plainHasher) Compare(_ context.Context, hash, secret []byte) error {
	if subtle.ConstantTimeCompare(hash, secret) != 1 {
		return errors.New("wrong secret")
	}
	return nil
}

func benchClients() *storage.MemoryStore {
	memory := storage.NewMemoryStore()
	memory.Clients[benchClient] = &fosite.DefaultClient{
		ID: benchClient, Secret: []byte(benchSecret), RedirectURIs: []string{benchCallback},
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
		Scopes: []string{"openid", "offline_access"},
	}
	return memory
}

func benchConfig() *fosite.Config {
	return &fosite.Config{
		IDTokenIssuer: "http://localhost:9000", GlobalSecret: []byte(strings.Repeat("s", 32)),
		ClientSecretsHasher:  plainHasher{},
		RefreshTokenLifespan: time.Hour,
	}
}

var benchKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

func composeBench(config *fosite.Config, store any) fosite.OAuth2Provider {
	key := func(context.Context) (any, error) { return benchKey(), nil }
	return compose.Compose(config, store, &compose.CommonStrategy{
		CoreStrategy:               compose.NewOAuth2HMACStrategy(config),
		OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(key, config),
		Signer:                     &jwt.DefaultSigner{GetPrivateKey: key},
	}, compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2RefreshTokenGrantFactory,
		compose.OpenIDConnectExplicitFactory,
		compose.OpenIDConnectRefreshFactory, compose.OAuth2TokenIntrospectionFactory,
		compose.OAuth2PKCEFactory)
}

func newMemoryHost(b *testing.B) *benchHost {
	b.Helper()
	config := benchConfig()
	h := &benchHost{provider: composeBench(config, &lockedMemory{MemoryStore: benchClients()})}
	h.serve(b, func(handler http.Handler) http.Handler { return handler },
		func(http.ResponseWriter, *http.Request) (string, error) { return "user", nil })
	return h
}

func newPluginHost(b *testing.B) *benchHost {
	b.Helper()
	logger := slog.New(slog.DiscardHandler)
	backend := openPlugin(b, plugin.Config{
		Path: binary(b, "sessions-badger"), Settings: badger.Settings{Path: b.TempDir()}, Logger: logger,
	})
	config := benchConfig()
	sessions, err := fositestore.Attach(b.Context(), fositestore.Config{
		Backend: backend, Fosite: config, Store: benchClients(), Key: func(context.Context) (any, error) {
			return benchKey(), nil
		},
		Host: hostadapter.Config{Logger: logger},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = sessions.Close() })
	h := &benchHost{provider: sessions.Provider(composeBench(config, sessions.Store()))}
	h.serve(b, sessions.Middleware, func(w http.ResponseWriter, r *http.Request) (string, error) {
		session, err := sessions.Session(r)
		if err == nil && session == nil {
			session, err = sessions.SignIn(w, r, hostadapter.Identity{Subject: rand.Text()})
		}
		if err != nil {
			return "", err
		}
		return session.SubjectID, nil
	})
	return h
}

func benchSession(subject string) *openid.DefaultSession {
	s := openid.NewDefaultSession()
	s.Subject = subject
	s.Claims.Subject = subject
	s.Claims.AuthTime = time.Now()
	s.Claims.RequestedAt = time.Now()
	return s
}

func (h *benchHost) serve(
	b *testing.B, wrap func(http.Handler) http.Handler,
	signIn func(http.ResponseWriter, *http.Request) (string, error),
) {
	routes := http.NewServeMux()
	routes.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		ar, err := h.provider.NewAuthorizeRequest(ctx, r)
		var subject string
		if err == nil {
			subject, err = signIn(w, r)
		}
		if err == nil {
			for _, scope := range ar.GetRequestedScopes() {
				ar.GrantScope(scope)
			}
			var response fosite.AuthorizeResponder
			if response, err = h.provider.NewAuthorizeResponse(ctx, ar, benchSession(subject)); err == nil {
				h.provider.WriteAuthorizeResponse(ctx, w, ar, response)
				return
			}
		}
		h.provider.WriteAuthorizeError(ctx, w, ar, err)
	})
	routes.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		ar, err := h.provider.NewAccessRequest(ctx, r, benchSession(""))
		if err == nil {
			var response fosite.AccessResponder
			if response, err = h.provider.NewAccessResponse(ctx, ar); err == nil {
				h.provider.WriteAccessResponse(ctx, w, ar, response)
				return
			}
		}
		h.provider.WriteAccessError(ctx, w, ar, err)
	})
	routes.HandleFunc("/introspect", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		response, err := h.provider.NewIntrospectionRequest(ctx, r, benchSession(""))
		if err != nil {
			h.provider.WriteIntrospectionError(ctx, w, err)
			return
		}
		h.provider.WriteIntrospectionResponse(ctx, w, response)
	})
	h.server = httptest.NewServer(wrap(routes))
	b.Cleanup(h.server.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 128}
	b.Cleanup(transport.CloseIdleConnections)
	h.client = &http.Client{Transport: transport}
}

// codes signs a user in and gets n codes for him.
func (h *benchHost) codes(b *testing.B, n int) []string {
	b.Helper()
	jar, _ := cookiejar.New(nil) // it never fails
	client := &http.Client{
		Transport: h.client.Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	query := url.Values{
		"client_id": {benchClient}, "redirect_uri": {benchCallback}, "response_type": {"code"},
		"scope": {"openid offline_access"},
		"state": {"state-state-state"}, "nonce": {"nonce-nonce-nonce"},
	}
	codes := make([]string, n)
	for i := range codes {
		response, err := client.Get(h.server.URL + "/authorize?" + query.Encode())
		if err != nil {
			b.Fatal(err)
		}
		_ = response.Body.Close()
		location, err := response.Location()
		if err != nil || location.Query().Get("code") == "" {
			b.Fatalf("authorization answered %d, %v", response.StatusCode, location)
		}
		codes[i] = location.Query().Get("code")
	}
	return codes
}

func (h *benchHost) post(path string, form url.Values) (map[string]any, error) {
	request, err := http.NewRequest(http.MethodPost, h.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(benchClient, benchSecret)
	response, err := h.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d: %s", path, response.StatusCode, body)
	}
	answer := map[string]any{}
	return answer, json.Unmarshal(body, &answer)
}

func (h *benchHost) exchange(code string) (map[string]any, error) {
	return h.post("/token",
		url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {benchCallback}})
}

// logins returns the answers to n code exchanges, each user's own.
func (h *benchHost) logins(b *testing.B, n int) []map[string]any {
	b.Helper()
	logins := make([]map[string]any, n)
	for i := range logins {
		var err error
		if logins[i], err = h.exchange(h.codes(b, 1)[0]); err != nil {
			b.Fatal(err)
		}
	}
	return logins
}

// share runs b.N operations in all, spread over callers.
func share(b *testing.B, callers int, operation func(caller, i int) error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := caller; i < b.N; i += callers {
				if err := operation(caller, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

func (h *benchHost) introspections(b *testing.B, callers int) {
	logins := h.logins(b, callers)
	share(b, callers, func(caller, _ int) error {
		token, _ := logins[caller]["access_token"].(string)
		answer, err := h.post("/introspect", url.Values{"token": {token}})
		if err == nil && answer["active"] != true {
			err = errors.New("token is not active")
		}
		return err
	})
}

func (h *benchHost) refreshes(b *testing.B, callers int) {
	logins := h.logins(b, callers)
	share(b, callers, func(caller, _ int) error {
		token, _ := logins[caller]["refresh_token"].(string)
		answer, err := h.post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
		logins[caller] = answer
		return err
	})
}

func (h *benchHost) exchanges(b *testing.B, callers int) {
	codes := h.codes(b, b.N)
	share(b, callers, func(_, i int) error {
		_, err := h.exchange(codes[i])
		return err
	})
}
