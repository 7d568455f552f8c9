package admin_test

// A host with the admin pages.

import (
	"bytes"
	"context"
	"crypto/rand"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// pageHost is a server with the admin routes at /admin over a real adapter and engine. A request's header
// Actor names its actor, as with serve.
type pageHost struct {
	*hostadapter.Adapter
	t      *testing.T
	server *httptest.Server
	log    *testenv.Log
	start  time.Time
}

type plainSigner struct{}

func (plainSigner) Sign(_ context.Context, claims []byte) (string, error) { return string(claims), nil }

// newPageHost starts a server. Its clients shop, mail and wiki answer notifications with 200, 500 and 400.
func newPageHost(t *testing.T, changes ...func(*hostadapter.Config)) *pageHost {
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
	clients := http.NewServeMux()
	clientMap := logout.ClientMap{}
	for id, status := range map[string]int{
		"shop": http.StatusOK, "mail": http.StatusInternalServerError, "wiki": http.StatusBadRequest,
	} {
		clients.HandleFunc("/"+id, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			if status != http.StatusOK {
				_, _ = io.WriteString(w, `{"error":"invalid_request"}`)
			}
		})
	}
	told := httptest.NewServer(clients)
	t.Cleanup(told.Close)
	for _, id := range []string{"shop", "mail", "wiki"} {
		clientMap[id] = logout.Client{BackChannelLogoutURI: told.URL + "/" + id}
	}
	h := &pageHost{t: t, log: &testenv.Log{}, start: time.Now().UTC().Truncate(time.Second)}
	config := hostadapter.Config{
		Backend: engine, Issuer: "https://op.example", Keys: [][]byte{bytes.Repeat([]byte("k"), 32)},
		Signer: plainSigner{}, Clients: clientMap,
		Logout: hostadapter.LogoutConfig{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		Logger: slog.New(slog.NewTextHandler(h.log, nil)),
	}
	for _, change := range changes {
		change(&config)
	}
	h.Adapter, err = hostadapter.New(t.Context(), config)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close adapter: %v", err)
		}
	})
	h.serve()
	return h
}

func (h *pageHost) serve() {
	router := mux.NewRouter()
	authorizePage := func(r *http.Request, permission admin.Permission) (admin.Actor, error) {
		if r.Header.Get("Actor") == "" && r.URL.Query().Get("sign-in") == "" {
			return admin.Actor{}, &admin.SignInError{URL: "/operators?from=" + url.QueryEscape(r.URL.Path)}
		}
		actor, err := authorize(r, permission)
		actor.SignOut = "/sign-out"
		return actor, err
	}
	admin.Mount(router.PathPrefix("/admin").Subrouter(), h, authorizePage)
	h.server = httptest.NewServer(router)
	h.t.Cleanup(h.server.Close)
}

// signedIn stores a session that began that long ago, used by these clients, each with a refresh token and a
// consent.
func (h *pageHost) signedIn(sid, subject, name string, ago time.Duration, clients ...string) {
	h.t.Helper()
	h.keep(ticketstore.Session{
		SessionID: sid, SubjectID: subject, DisplayName: name, RemoteAddr: "192.0.2.1", AMR: []string{"pwd"},
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
		Created:   h.start.Add(-ago),
	}, clients...)
}

func (h *pageHost) keep(s ticketstore.Session, clients ...string) {
	h.t.Helper()
	s.Key = ticketstore.KeyOf(rand.Text())
	s.Issuer = "https://op.example"
	s.AuthTime = s.Created
	s.Renewed = s.Created
	s.Expires = h.start.Add(10 * time.Hour)
	if err := h.Backend().Tickets().Create(h.t.Context(), &s); err != nil {
		h.t.Fatalf("creating session %s: %v", s.SessionID, err)
	}
	for _, client := range clients {
		batch := &grantstore.Batch{
			OperationID: rand.Text(),
			Use:         &grantstore.Use{SessionID: s.SessionID, ClientID: client, Notify: true},
			Store: []grantstore.Grant{
				{
					Ref: grantstore.Ref{
						Type: grantstore.RefreshToken, Key: ticketstore.KeyOf(s.SessionID + client),
					}, RequestID: rand.Text(),
					SubjectID: s.SubjectID, SessionID: s.SessionID, ClientID: client, Created: s.Created,
					Expires: s.Expires,
				},
				{
					Ref: grantstore.Ref{
						Type: grantstore.UserConsent, Key: ticketstore.KeyOf(rand.Text()),
					},
					SubjectID: s.SubjectID, ClientID: client, Created: s.Created,
				},
			},
		}
		if _, err := h.Backend().Grants().Apply(h.t.Context(), batch,
			s.Created.Add(time.Second)); err != nil {
			h.t.Fatalf("%s uses session %s: %v", client, s.SessionID, err)
		}
	}
}

// seen is a response to a browser.
type seen struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// get requests a page; post posts a form.
func (h *pageHost) get(actor, address string) *seen {
	return h.send(actor, http.MethodGet, address, nil, nil)
}

func (h *pageHost) post(actor, address string, form url.Values) *seen {
	return h.send(actor, http.MethodPost, address, form, nil)
}

func (h *pageHost) send(actor, method, address string, form url.Values, headers map[string]string) *seen {
	h.t.Helper()
	request, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+"/admin"+address,
		strings.NewReader(form.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	request.Header.Set("Actor", actor)
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	response, err := client.Do(request)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, address, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return &seen{t: h.t, status: response.StatusCode, header: response.Header, body: string(body)}
}

// mustSay checks status and content. Texts that begin with "!" must be absent.
func (s *seen) mustSay(status int, wants ...string) *seen {
	s.t.Helper()
	if s.status != status {
		s.t.Errorf("status %d, want %d:\n%.3000s", s.status, status, s.body)
	}
	for _, want := range wants {
		unwanted, not := strings.CutPrefix(want, "!")
		if strings.Contains(s.body, unwanted) == not {
			s.t.Errorf("the page has %q: %t, want %t:\n%.6000s", unwanted, !not, not == false, s.body)
		}
	}
	return s
}

// link returns the address of the link with that text.
func (s *seen) link(text string) string {
	s.t.Helper()
	found := regexp.MustCompile(`href="([^"]*)"[^>]*>` + regexp.QuoteMeta(text)).FindStringSubmatch(s.body)
	if found == nil {
		s.t.Fatalf("no link %q in:\n%.6000s", text, s.body)
	}
	return html.UnescapeString(found[1])
}
