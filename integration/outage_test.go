package integration

// Plugins and hosts that stop under load (rules 4 and 11).

import (
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/oauth2"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// If the plugin cannot be restarted, the host stays up: it answers 503 with Retry-After, clears no cookies,
// reports why it is not ready, and resumes when the plugin starts.
func TestOutage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions-badger")
	if err := os.Link(binary(t, "sessions-badger"), path); err != nil {
		t.Fatal(err)
	}
	rp := newRelyingParty(t, "shop")
	p := startProvider(t, []map[string]any{rp.registration()}, []user{ann}, "-plugin", path)
	rp.discover(t, p)
	b := newBrowser()
	login := b.signIn(t, rp, p, ann)
	issuer, _ := url.Parse(p.issuer) // was used as a URL before
	cookies := len(b.client.Jar.Cookies(issuer))

	if err := os.Rename(path, path+"-away"); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(p.plugin, syscall.SIGKILL)
	// Until the host notices, it answers from its copy of the stored token (rule 15).
	testenv.Eventually(t, "the server's log has the reason", func() bool {
		return p.log.Contains("no such file")
	})
	post := func(endpoint string, form url.Values) (*http.Response, error) {
		request, err := http.NewRequest(http.MethodPost, p.endpoint(t, endpoint),
			strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(url.QueryEscape(rp.id), url.QueryEscape(rp.secret))
		return http.DefaultClient.Do(request)
	}
	for name, send := range map[string]func() (*http.Response, error){
		"introspection": func() (*http.Response, error) {
			return post("introspection_endpoint", url.Values{"token": {login.token.AccessToken}})
		},
		"refresh": func() (*http.Response, error) {
			return post("token_endpoint",
				url.Values{"grant_type": {"refresh_token"}, "refresh_token": {login.token.RefreshToken}})
		},
		"authorization": func() (*http.Response, error) {
			return b.client.Get(rp.authorizeURL(oauth2.SetAuthURLParam("prompt", "none")))
		},
		"query": func() (*http.Response, error) {
			request, err := http.NewRequest(http.MethodGet, p.issuer+"/admin/sessions", nil)
			if err != nil {
				return nil, err
			}
			request.Header.Set("Authorization", "Bearer "+p.adminToken)
			return http.DefaultClient.Do(request)
		},
	} {
		response, err := send()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
			t.Errorf("%s: status %d with Retry-After %q, want 503 with one", name, response.StatusCode,
				response.Header.Get("Retry-After"))
		}
		if set := response.Header.Values("Set-Cookie"); len(set) != 0 {
			t.Errorf("%s: cookies were set: %v", name, set)
		}
	}
	if n := len(b.client.Jar.Cookies(issuer)); n != cookies {
		t.Errorf("the browser has %d cookies, want the %d it had", n, cookies)
	}
	if !testenv.Runs(p.host) {
		t.Fatal("the host has died with its plugin")
	}
	if err := os.Rename(path+"-away", path); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the server is ready again", func() bool {
		response, err := http.Get(p.issuer + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode/100 == 2
	})
	if !p.active(t, rp, login.token.AccessToken) {
		t.Error("the access token is inactive after the outage")
	}
	expectSignedIn(t, "Ann", b, rp, true)
}

// A host that gets a signal to terminate answers its pending requests, closes its database and leaves no
// processes behind. Acknowledged changes are durable.
func TestHostIsTerminated(t *testing.T) {
	t.Parallel()
	told := func(t *testing.T, sent syscall.Signal, again bool) {
		t.Parallel()
		testHostIsToldToEnd(t, func(p *provider) {
			testenv.Eventually(t, "the host gets "+sent.String(), func() bool {
				return p.process.Process.Signal(sent) != nil || !again
			})
		})
	}
	t.Run("SIGTERM", func(t *testing.T) { told(t, syscall.SIGTERM, false) })
	// When a terminal closes, kernel and shell each send a SIGHUP. Below nohup this process ignores the
	// signal, and so do its children unless this process has a handler.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	t.Run("SIGHUP, repeatedly", func(t *testing.T) { told(t, syscall.SIGHUP, true) })
}

func testHostIsToldToEnd(t *testing.T, tell func(p *provider)) {
	t.Helper()
	rp := newRelyingParty(t, "shop")
	p := startProvider(t, []map[string]any{rp.registration()}, []user{ann})
	rp.discover(t, p)
	b := newBrowser()
	login := b.signIn(t, rp, p, ann)
	tell(p)
	<-p.process.Ended()
	if state := p.process.ProcessState; !state.Success() {
		t.Errorf("the host ended with %s\n%s", state, p.log.Tail(4<<10))
	}
	if testenv.Runs(p.plugin) {
		t.Error("the plugin has outlived its host")
	}
	p.start(t)
	if !p.active(t, rp, login.token.AccessToken) {
		t.Error("the access token is inactive after the restart")
	}
	expectSignedIn(t, "Ann", b, rp, true)
}
