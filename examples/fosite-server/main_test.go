package main

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// TestMain makes the test binary a plugin when the server starts it as one.
func TestMain(m *testing.M) {
	if plugin.Launched() {
		servePlugin()
		return
	}
	os.Exit(m.Run())
}

const testToken = "test-admin-token"

// startServer starts a server in this process and its plugin in another one, on free ports.
func startServer(t *testing.T, arguments ...string) *running {
	t.Helper()
	return startServerLogging(t, t.Output(), arguments...)
}

func startServerLogging(t *testing.T, log io.Writer, arguments ...string) *running {
	t.Helper()
	arguments = append([]string{
		"-addr", "127.0.0.1:0", "-data", filepath.Join(t.TempDir(), "data"), "-admin-token", testToken,
	}, arguments...)
	o, err := parseOptions(arguments, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return startServerWith(t, log, o)
}

func startServerWith(t *testing.T, log io.Writer, o *options) *running {
	t.Helper()
	s, err := start(t.Context(), o, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(context.Background()); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return s
}

// Browsers open connections in advance: a stop with an unused connection succeeds.
func TestStopWithAnUnusedConnection(t *testing.T) {
	t.Parallel()
	var ahead net.Conn
	log := &testenv.Log{}
	t.Cleanup(func() { // after the server has stopped, which startServerLogging checks
		if ahead != nil {
			_ = ahead.Close()
		}
		if strings.Contains(log.String(), "cut off") {
			t.Errorf("the stop waited for the connection:\n%s", log)
		}
	})
	s := startServerLogging(t, log)
	var err error
	if ahead, err = new(net.Dialer).DialContext(t.Context(), "tcp", s.address.String()); err != nil {
		t.Fatal(err)
	}
	// Connections are accepted in order.
	if status := newBrowser(t).get(s.provider.issuer + "/healthz").status; status != http.StatusNoContent {
		t.Errorf("/healthz answers %d", status)
	}
}

// browser is a user's browser: it keeps cookies and follows redirects.
type browser struct {
	t    *testing.T
	http *http.Client
	from string // its address as of a proxy, if any
}

// pageSeen is the page that a browser shows after redirects.
type pageSeen struct {
	url    *url.URL
	status int
	header http.Header
	body   string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, http: &http.Client{Jar: jar, Timeout: time.Minute}}
}

func (b *browser) do(request *http.Request) *pageSeen {
	b.t.Helper()
	if b.from != "" {
		request.Header.Set("X-Forwarded-For", b.from)
	}
	response, err := b.http.Do(request.WithContext(b.t.Context()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return &pageSeen{
		url: response.Request.URL, status: response.StatusCode, header: response.Header, body: string(body),
	}
}

func (b *browser) get(address string) *pageSeen {
	b.t.Helper()
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(request)
}

func (b *browser) post(address string, pairs ...string) *pageSeen {
	b.t.Helper()
	request, err := http.NewRequest(http.MethodPost, address, strings.NewReader(formOf(pairs...)))
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Content-Type", formType)
	return b.do(request)
}

var hiddenForm = regexp.MustCompile(`name="form" value="([^"]*)"`)

// submit fills in the form of a page and sends it to the form's address.
func (b *browser) submit(page *pageSeen, path string, pairs ...string) *pageSeen {
	b.t.Helper()
	found := hiddenForm.FindStringSubmatch(page.body)
	if found == nil {
		b.t.Fatalf("no form at %s: %d\n%s", page.url, page.status, page.body)
	}
	target := url.URL{Scheme: page.url.Scheme, Host: page.url.Host, Path: path}
	return b.post(target.String(), append(pairs, "form", html.UnescapeString(found[1]))...)
}

func (b *browser) expect(page *pageSeen, status int, text string) *pageSeen {
	b.t.Helper()
	if page.status != status || !strings.Contains(page.body, text) {
		b.t.Fatalf("%s is %d, want %d with %q:\n%s", page.url, page.status, status, text, page.body)
	}
	return page
}

// signIn signs in at a demo client, and consents if asked.
func (b *browser) signIn(client *demoClient, user demoUser) {
	b.t.Helper()
	page := b.expect(b.get(client.url+"/login"), http.StatusOK, "Sign in")
	page = b.submit(page, "/login", "username", user.Username, "password", user.Password)
	if strings.Contains(page.body, "asks for your permission") {
		page = b.submit(page, "/consent", "decision", decisionAllow)
	}
	b.expect(page, http.StatusOK, "Hello, "+user.name)
}

// adminCall calls an admin route and decodes the answer.
func adminCall(t *testing.T, s *running, method, path, body string) (int, map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.provider.issuer+pathAdmin+path,
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testToken)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: %d, body is not JSON: %v", method, path, response.StatusCode, err)
	}
	return response.StatusCode, answer
}
