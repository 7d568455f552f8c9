package integration

// Front-channel frames in a real browser.

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A session with the maximum number of front-channel clients is signed out in a browser, through a proxy that
// accepts 4 KiB of response headers, as nginx does by default.
func TestSignOutOfAllClientsThatASessionMayHaveInABrowser(t *testing.T) {
	t.Parallel()
	signOutOfAllBehind(t, func(target *url.URL) (address string) {
		proxy := httptest.NewServer(&httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
			Transport: &http.Transport{MaxResponseHeaderBytes: 4 << 10},
		})
		t.Cleanup(proxy.Close)
		return proxy.URL
	})
}

// signOutOfAllBehind signs out of that many clients behind a proxy, which is started for the server's
// address.
func signOutOfAllBehind(t *testing.T, start func(target *url.URL) (address string)) {
	t.Helper()
	logger, noSync := slog.New(slog.DiscardHandler), false
	engine, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir(), Sync: &noSync}, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })

	var mu sync.Mutex
	told := map[string]bool{}
	apps := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/bye" {
			_, _ = w.Write([]byte("<!DOCTYPE html><title>Bye</title>Goodbye"))
			return
		}
		mu.Lock()
		defer mu.Unlock()
		told[r.Host] = r.URL.Query().Get("sid") != ""
	}))
	t.Cleanup(apps.Close)
	t.Cleanup(func() { _ = apps.Config.Close() })
	clients := logout.ClientMap{}
	for i := range ticketstore.MaxClients {
		// Origins that differ by their ports: for each different host the browser would start a process.
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = apps.Config.Serve(listener) }()
		clients[fmt.Sprint(i)] = logout.Client{
			FrontChannelLogoutURI:       "http://" + listener.Addr().String() + "/clear",
			FrontChannelSessionRequired: true, PostLogoutRedirectURIs: []string{apps.URL + "/bye"},
		}
	}
	sm, err := hostadapter.New(t.Context(), hostadapter.Config{
		Backend: engine, Issuer: "http://localhost", Keys: [][]byte{bytes.Repeat([]byte("k"), 32)},
		Signer: signsClaims{}, Clients: clients, Logger: logger,
		Logout: hostadapter.LogoutConfig{FrontChannelWait: patience},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sm.Close() })
	router := http.NewServeMux()
	router.Handle("/logout", sm.EndSession())
	router.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		session, err := sm.SignIn(w, r, hostadapter.Identity{Subject: "ann"})
		for id := range clients {
			if err == nil {
				_, err = sm.Backend().Grants().Apply(r.Context(), &grantstore.Batch{
					OperationID: rand.Text(),
					Use:         &grantstore.Use{SessionID: session.SessionID, ClientID: id},
				}, session.Created)
			}
		}
		if err != nil {
			t.Errorf("signing in: %v", err)
		}
		_, _ = w.Write([]byte("signed in"))
	})
	server := httptest.NewServer(sm.Middleware(router))
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := start(target)

	browser := startChrome(t).tab()
	browser.open(proxy + "/login")
	browser.says("signed in")
	browser.open(proxy + "/logout?" + url.Values{
		"client_id": {"0"}, "post_logout_redirect_uri": {apps.URL + "/bye"}, "state": {"a;b 100%"},
	}.Encode())
	browser.says("Sign out?")
	browser.click("form button")
	browser.says("Goodbye")
	browser.until("the state is returned",
		`new URLSearchParams(location.search).get("state") === "a;b 100%"`)
	testenv.Eventually(t, "every client was notified by its frame", func() bool {
		mu.Lock()
		defer mu.Unlock()
		count := 0
		for _, hasSID := range told {
			if hasSID {
				count++
			}
		}
		return count == ticketstore.MaxClients
	})
}
