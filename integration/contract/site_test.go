package contract_test

// A host with the admin and account routes, whose clients check every response against the contract.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/account"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/integration/contract"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// site serves the admin routes of a real adapter and engine over HTTP.
type site struct {
	t *testing.T
	// engine is the serving engine, also after a swap to "next".
	engine  *badger.Engine
	adapter *hostadapter.Adapter
	url     string
	client  *http.Client
	// held is the backend "slow": a swap to it copies nothing until it is released.
	held   held
	log    *testenv.Log
	audit  *testenv.Log
	serial int
}

type claimSigner struct{}

func (claimSigner) Sign(_ context.Context, claims []byte) (string, error) { return string(claims), nil }

const mounted = "/ops/sessions-admin"

// newSite returns a site whose clients refuse every logout token.
func newSite(t *testing.T) *site {
	t.Helper()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_request"}`)
	}))
	t.Cleanup(refusing.Close)
	engine, err := newEngine(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		t: t, engine: engine, log: &testenv.Log{}, audit: &testenv.Log{},
		held: held{free: make(chan struct{})},
	}
	s.adapter, err = hostadapter.New(t.Context(), hostadapter.Config{
		Backend: engine, Issuer: "https://op.example", Keys: [][]byte{bytes.Repeat([]byte("k"), 32)},
		Signer: claimSigner{}, VisibleProperties: []string{"tenant"},
		Clients: logout.ClientMap{
			"shop": {ClientID: "shop", BackChannelLogoutURI: refusing.URL},
			"mail": {ClientID: "mail", BackChannelLogoutURI: refusing.URL},
		},
		Logout: hostadapter.LogoutConfig{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Swap: hostadapter.SwapConfig{
			BackendName: "main",
			Backends: map[string]func(context.Context) (sessions.Backend, error){
				"next": func(ctx context.Context) (sessions.Backend, error) {
					next, err := newEngine(ctx, t)
					s.engine = next
					return next, err
				},
				"slow": func(ctx context.Context) (sessions.Backend, error) {
					next, err := newEngine(ctx, t)
					return slowBackend{next, &s.held}, err
				},
			},
		},
		Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.adapter.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(s.held.release)
	router := mux.NewRouter()
	router.PathPrefix(mounted).Handler(http.StripPrefix(mounted, admin.Handler(admin.Config{
		Operations: s.adapter.Operations(), Authorize: authorize, Audit: slog.NewJSONHandler(s.audit, nil),
	})))
	router.PathPrefix("/me/").Handler(account.Handler(account.Config{
		Sessions: s.adapter, Audit: slog.NewJSONHandler(s.audit, nil),
	}))
	router.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.adapter.SignIn(w, r, hostadapter.Identity{
			Subject: r.FormValue("user"), Properties: map[string]string{"tenant": "example"},
		}); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewTLSServer(router)
	t.Cleanup(server.Close)
	s.url = server.URL + mounted
	document, err := loadOnce()
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.client = &http.Client{
		Transport: &contract.Transport{
			Document: document, Next: server.Client().Transport, Report: t.Errorf,
			Mounts: map[string]string{mounted: "", "/me": "/account/sessions"},
		},
		Jar: jar,
	}
	return s
}

// loadOnce reads the contract once: all tests count the checked responses in one document.
var loadOnce = sync.OnceValues(contract.Load)

func newEngine(ctx context.Context, t *testing.T) (*badger.Engine, error) {
	sync := false
	engine, err := badger.Open(ctx, badger.Settings{Path: t.TempDir(), Sync: &sync, MemoryMiB: 64},
		slog.New(slog.DiscardHandler))
	if err == nil {
		t.Cleanup(func() { _ = engine.Close() })
	}
	return engine, err
}

// held blocks a swap before its switch.
type held struct {
	free chan struct{}
	once sync.Once
}

func (h *held) release() { h.once.Do(func() { close(h.free) }) }

// slowBackend blocks imports until it is released.
type slowBackend struct {
	*badger.Engine
	held *held
}

func (b slowBackend) Transfer() transfer.Store { return slowTransfer{b.Engine.Transfer(), b.held} }

type slowTransfer struct {
	transfer.Store
	held *held
}

func (t slowTransfer) Become(ctx context.Context, turn transfer.Transition) error {
	if turn.To == transfer.Importing {
		select {
		case <-t.held.free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return t.Store.Become(ctx, turn)
}

// authorize grants permissions by the header Actor: a reader may read, a writer may make changes, a stranger
// nothing. "lost" simulates an unreachable store, "broken" a fault of the host.
func authorize(r *http.Request, permission admin.Permission) (admin.Actor, error) {
	actor := admin.Actor{ID: r.Header.Get("Actor")}
	switch {
	case actor.ID == "":
		return admin.Actor{}, admin.ErrUnauthenticated
	case actor.ID == "lost":
		return actor, ticketstore.ErrUnavailable
	case actor.ID == "broken":
		return actor, io.ErrUnexpectedEOF
	case actor.ID == "stranger", actor.ID == "reader" && permission != admin.ReadSessions:
		return actor, admin.ErrForbidden
	}
	return actor, nil
}

// signIn stores a session of the subject, used by a client that can be notified, with a token and a consent.
func (s *site) signIn(subject, client string) (sid string) {
	s.t.Helper()
	s.serial++
	now := time.Now().UTC().Add(-time.Minute)
	sid = fmt.Sprintf("sid %03d", s.serial)
	err := s.engine.Tickets().Create(s.t.Context(), &ticketstore.Session{
		Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: subject, DisplayName: "The user " + subject,
		Issuer: "https://op.example", AuthTime: now,
		Created: now.Add(time.Duration(s.serial) * time.Millisecond), Renewed: now,
		Expires: now.Add(time.Hour),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	grant := func(kind grantstore.Type, session string) grantstore.Grant {
		return grantstore.Grant{
			Ref: grantstore.Ref{Type: kind, Key: ticketstore.KeyOf(sid + string(kind))}, RequestID: sid,
			SubjectID: subject, SessionID: session,
			ClientID: client, Created: now, Expires: now.Add(time.Hour), Data: []byte("SEALED"),
		}
	}
	_, err = s.engine.Grants().Apply(s.t.Context(), &grantstore.Batch{
		OperationID: "stored " + sid, Use: &grantstore.Use{SessionID: sid, ClientID: client, Notify: true},
		Store: []grantstore.Grant{grant(grantstore.RefreshToken, sid), grant(grantstore.UserConsent, "")},
	}, now)
	if err != nil {
		s.t.Fatal(err)
	}
	return sid
}

// call sends a request as writer and returns the response and its body.
func (s *site) call(method, target, body string, change ...func(*http.Request)) (*http.Response, []byte) {
	s.t.Helper()
	if !strings.HasPrefix(target, "http") {
		target = s.url + target
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Actor", "writer")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(r)
	}
	response, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response, raw
}

// get makes a request that must succeed and decodes the response.
func (s *site) get(method, target, body string, status int, into any) *http.Response {
	s.t.Helper()
	response, raw := s.call(method, target, body)
	if response.StatusCode != status {
		s.t.Fatalf("%s %s: status %d %s, want %d", method, target, response.StatusCode, raw, status)
	}
	if into != nil {
		if err := json.Unmarshal(raw, into); err != nil {
			s.t.Fatalf("%s %s: answer %q: %v", method, target, raw, err)
		}
	}
	return response
}
