package hostadapter_test

// Clock, backend and browser of these tests.

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/internal/tie"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const issuer = "https://op.example"

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// backend is the engine with faults and counters.
type backend struct {
	sessions.Backend
	mu     sync.Mutex
	calls  map[string]int
	faults map[string][]fault
	hooks  map[string]func()
}

// fault makes a call fail before it reaches the store, or after, so that only its answer is lost.
type fault struct {
	err   error
	after bool
}

func (b *backend) fail(method string, faults ...fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults[method] = faults
}

// before sets a function to run before each call of a method; nil removes it.
func (b *backend) before(method string, run func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hooks[method] = run
}

func (b *backend) count(method string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[method]
}

func (b *backend) do(method string, call func() error) error {
	b.mu.Lock()
	b.calls[method]++
	var f fault
	if waiting := b.faults[method]; len(waiting) > 0 {
		f, b.faults[method] = waiting[0], waiting[1:]
	}
	hook := b.hooks[method]
	b.mu.Unlock()
	if hook != nil {
		hook()
	}
	if f.err != nil && !f.after {
		return f.err
	}
	if err := call(); err != nil {
		return err
	}
	return f.err
}

func (b *backend) Tickets() ticketstore.Store { return &tickets{b.Backend.Tickets(), b} }
func (b *backend) Grants() grantstore.Store   { return &grants{b.Backend.Grants(), b} }
func (b *backend) Logout() logout.Store       { return &endings{b.Backend.Logout(), b} }

// Transfer returns the engine's mover.
func (b *backend) Transfer() transfer.Store {
	return b.Backend.(interface{ Transfer() transfer.Store }).Transfer()
}

type tickets struct {
	ticketstore.Store
	b *backend
}

func (s *tickets) Create(ctx context.Context, session *ticketstore.Session) error {
	return s.b.do("Create", func() error { return s.Store.Create(ctx, session) })
}

func (s *tickets) CreateWithin(
	ctx context.Context, session *ticketstore.Session, limit ticketstore.Limit, now time.Time,
) (ended []string, err error) {
	err = s.b.do("Create", func() (err error) {
		ended, err = s.Store.CreateWithin(ctx, session, limit, now)
		return err
	})
	return ended, err
}

func (s *tickets) Get(ctx context.Context, key ticketstore.Key) (found *ticketstore.Session, err error) {
	err = s.b.do("Get", func() (err error) { found, err = s.Store.Get(ctx, key); return err })
	return found, err
}

func (s *tickets) Renew(
	ctx context.Context, r ticketstore.Renewal, now time.Time,
) (found *ticketstore.Session, err error) {
	err = s.b.do("Renew", func() (err error) { found, err = s.Store.Renew(ctx, r, now); return err })
	return found, err
}

func (s *tickets) Rekey(
	ctx context.Context, r ticketstore.Rekey, now time.Time,
) (found *ticketstore.Session, err error) {
	err = s.b.do("Rekey", func() (err error) { found, err = s.Store.Rekey(ctx, r, now); return err })
	return found, err
}

type grants struct {
	grantstore.Store
	b *backend
}

func (s *grants) Purge(ctx context.Context, limit int, now time.Time) (purged int, err error) {
	err = s.b.do("Purge", func() (err error) { purged, err = s.Store.Purge(ctx, limit, now); return err })
	return purged, err
}

func (s *grants) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (found *grantstore.GetResult, err error) {
	err = s.b.do("GetGrant", func() (err error) { found, err = s.Store.Get(ctx, ref, now); return err })
	return found, err
}

func (s *grants) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (result *grantstore.Result, err error) {
	err = s.b.do("Apply", func() (err error) { result, err = s.Store.Apply(ctx, batch, now); return err })
	return result, err
}

func (s *grants) Query(
	ctx context.Context, query grantstore.Query, now time.Time,
) (page *grantstore.Page, err error) {
	err = s.b.do("QueryGrants", func() (err error) { page, err = s.Store.Query(ctx, query, now); return err })
	return page, err
}

func (s *grants) Remove(
	ctx context.Context, removal grantstore.Removal, now time.Time,
) (removed *grantstore.RemovalResult, err error) {
	err = s.b.do("RemoveGrants", func() (err error) {
		removed, err = s.Store.Remove(ctx, removal, now)
		return err
	})
	return removed, err
}

type endings struct {
	logout.Store
	b *backend
}

func (s *endings) End(
	ctx context.Context, e *logout.Ending, now time.Time,
) (result *logout.Result, err error) {
	err = s.b.do("End", func() (err error) { result, err = s.Store.End(ctx, e, now); return err })
	return result, err
}

func (s *endings) EndDue(
	ctx context.Context, sweep logout.Sweep, now time.Time,
) (swept *logout.SweepResult, err error) {
	err = s.b.do("EndDue", func() (err error) { swept, err = s.Store.EndDue(ctx, sweep, now); return err })
	return swept, err
}

func (s *endings) Notifications(
	ctx context.Context, q logout.NotificationQuery,
) (page *logout.NotificationPage, err error) {
	err = s.b.do("Notifications", func() (err error) {
		page, err = s.Store.Notifications(ctx, q)
		return err
	})
	return page, err
}

// host is an adapter over a fresh engine.
type host struct {
	*hostadapter.Adapter
	t       *testing.T
	backend *backend
	clock   *clock
	config  hostadapter.Config
	log     *testenv.Log
}

type plainSigner struct{}

func (plainSigner) Sign(_ context.Context, claims []byte) (string, error) { return string(claims), nil }

func newHost(t *testing.T, change ...func(*hostadapter.Config)) *host {
	t.Helper()
	noSync := false
	engine, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir(), Sync: &noSync, MemoryMiB: 64},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("open engine: %v", err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Errorf("close engine: %v", err)
		}
	})
	h := &host{
		t: t,
		backend: &backend{
			Backend: engine, calls: map[string]int{}, faults: map[string][]fault{},
			hooks: map[string]func(){},
		},
		clock: newClock(), log: &testenv.Log{},
	}
	h.config = hostadapter.Config{
		Backend: h.backend, Issuer: issuer, Keys: [][]byte{bytes.Repeat([]byte("k"), 32)},
		Signer:  plainSigner{},
		Clients: logout.ClientMap{}, Now: h.clock.Now, Logger: slog.New(slog.NewTextHandler(h.log, nil)),
		// only some tests enable sweeps
		Expiry: hostadapter.ExpiryConfig{Off: true, SweepEvery: time.Hour},
	}
	for _, c := range change {
		c(&h.config)
	}
	h.start()
	return h
}

// start opens an adapter over the backend, as after a restart.
func (h *host) start() {
	h.t.Helper()
	adapter, err := hostadapter.New(h.t.Context(), h.config)
	if err != nil {
		h.t.Fatalf("New: %v", err)
	}
	h.t.Cleanup(func() {
		if err := adapter.Close(); err != nil {
			h.t.Errorf("Close: %v", err)
		}
	})
	h.Adapter = adapter
}

// use records that a client used a session, as an authorization does.
func (h *host) use(sid, client string) {
	h.t.Helper()
	_, err := h.Backend().Grants().Apply(h.t.Context(), &grantstore.Batch{
		OperationID: randomHex(), Use: &grantstore.Use{SessionID: sid, ClientID: client, Notify: true},
	}, h.clock.Now())
	if err != nil {
		h.t.Fatalf("recording that %s used the session: %v", client, err)
	}
	// Clients that used a session within ten seconds of its end are notified twice: other packages test
	// this.
	h.clock.advance(time.Minute)
}

// notifications returns all notifications in the queue.
func (h *host) notifications() []logout.Notification {
	h.t.Helper()
	page, err := h.Operations().QueryNotifications(h.t.Context(),
		logout.NotificationQuery{Order: ticketstore.Ascending})
	if err != nil {
		h.t.Fatalf("Notifications: %v", err)
	}
	return page.Notifications
}

func randomHex() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}

// browser is a client with cookies, for one goroutine of one test.
type browser struct {
	h       *host
	cookies map[string]string
}

func (h *host) browser() *browser { return &browser{h: h, cookies: map[string]string{}} }

// visit sends a request through the middleware to the handler.
func (b *browser) visit(handler http.HandlerFunc) *http.Response {
	return b.send(httptest.NewRequest(http.MethodGet, "/", nil), handler)
}

func (b *browser) send(r *http.Request, handler http.Handler) *http.Response {
	b.h.t.Helper()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.h.Middleware(handler).ServeHTTP(w, r)
	response := w.Result()
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 {
			delete(b.cookies, cookie.Name)
		} else {
			b.cookies[cookie.Name] = cookie.Value
		}
	}
	return response
}

func (b *browser) signIn(identity hostadapter.Identity) *hostadapter.Session {
	b.h.t.Helper()
	session, err := b.trySignIn(identity)
	if err != nil {
		b.h.t.Fatalf("SignIn: %v", err)
	}
	return session
}

func (b *browser) trySignIn(identity hostadapter.Identity) (session *hostadapter.Session, err error) {
	b.h.t.Helper()
	b.visit(func(w http.ResponseWriter, r *http.Request) { session, err = b.h.SignIn(w, r, identity) })
	return session, err
}

func (b *browser) session() (session *hostadapter.Session, err error) {
	b.h.t.Helper()
	b.visit(func(_ http.ResponseWriter, r *http.Request) { session, err = b.h.Session(r) })
	return session, err
}

// mustBe fails the test unless the browser is signed in as the subject, or signed out if the subject is
// empty.
func (b *browser) mustBe(subject string) *hostadapter.Session {
	b.h.t.Helper()
	session, err := b.session()
	switch {
	case err != nil:
		b.h.t.Fatalf("Session: %v", err)
	case subject == "" && session != nil:
		b.h.t.Fatalf("signed in as %q, want signed out", session.SubjectID)
	case subject != "" && (session == nil || session.SubjectID != subject):
		b.h.t.Fatalf("session %+v, want one of %q", session, subject)
	}
	return session
}

func (b *browser) signOut() (err error) {
	b.h.t.Helper()
	b.visit(func(w http.ResponseWriter, r *http.Request) { err = b.h.SignOut(w, r) })
	return err
}

// get and post visit the end-session endpoint.
func (b *browser) get(query url.Values) *http.Response {
	b.h.t.Helper()
	return b.send(httptest.NewRequest(http.MethodGet, "/logout?"+query.Encode(), nil), b.h.EndSession())
}

func (b *browser) post(form url.Values) *http.Response {
	b.h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/logout", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(r, b.h.EndSession())
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func (h *host) seal(purpose string, id, plaintext []byte) []byte {
	return h.Tie().Seal(tie.Binding{Purpose: purpose, ID: id}, plaintext)
}

func (h *host) unseal(purpose string, id, sealed []byte) ([]byte, error) {
	return h.Tie().Unseal(tie.Binding{Purpose: purpose, ID: id}, sealed)
}
