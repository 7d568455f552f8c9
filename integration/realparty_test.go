//go:build rp && linux

package integration

// Relying parties of other projects: mod_auth_openidc and express-openid-connect.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// realParty is a relying party of another project, configured as on a real site. Its page shows the signed-in
// user.
type realParty struct {
	id, secret string
	port, url  string
	// callback, backChannel and signOut are the relying party's paths.
	callback, backChannel, signOut string
	// sidOnly makes the provider omit sub from logout tokens: with sub this client would end all sessions of
	// the user.
	sidOnly bool
	// release frees the port for the process that listens on it.
	release func()
	// command returns the process to start, and a function that reads its log file.
	command func(t *testing.T, rp *realParty, issuer string) (*exec.Cmd, func() string)
}

// Characters that require escaping: client credentials are form-encoded before Basic encoding (RFC 6749,
// section 2.3.1).
const awkward = "-secret: 100%+/=&"

func newApache(t *testing.T) *realParty {
	t.Helper()
	rp := &realParty{
		id: "apache-rp", callback: "/page/redirect", backChannel: "/page/redirect?logout=backchannel",
		command: apache,
	}
	rp.reserve(t)
	rp.signOut = "/page/redirect?" + url.Values{"logout": {rp.url + "/bye"}}.Encode()
	return rp
}

func newExpress(t *testing.T) *realParty {
	t.Helper()
	rp := &realParty{
		id: "express-rp", callback: "/callback", backChannel: "/backchannel-logout", signOut: "/logout",
		sidOnly: true, command: express,
	}
	rp.reserve(t)
	return rp
}

// reserve returns a port outside of the kernel's ephemeral range, so that no connection takes it before the
// process listens.
func (rp *realParty) reserve(t *testing.T) {
	t.Helper()
	for range 100 {
		rp.port = fmt.Sprint(20000 + rand.IntN(10000))
		listener, err := net.Listen("tcp", "127.0.0.1:"+rp.port)
		if err != nil {
			continue
		}
		rp.secret, rp.url = randomText()+awkward, "http://127.0.0.1:"+rp.port
		rp.release = func() { _ = listener.Close() }
		t.Cleanup(rp.release)
		return
	}
	t.Fatal("no free port")
}

func (rp *realParty) registration() map[string]any {
	return map[string]any{
		"client_id": rp.id, "client_secret": rp.secret, "client_name": rp.id,
		"redirect_uris":                       []string{rp.url + rp.callback},
		"post_logout_redirect_uris":           []string{rp.url + "/bye"},
		"backchannel_logout_uri":              rp.url + rp.backChannel,
		"backchannel_logout_session_required": rp.sidOnly,
		"grant_types":                         []string{"authorization_code", "refresh_token"},
		"response_types":                      []string{"code"},
		"scope":                               "openid profile offline_access",
		"token_endpoint_auth_method":          "client_secret_basic",
	}
}

// start runs the relying party until the test ends.
func (rp *realParty) start(t *testing.T, issuer string) {
	t.Helper()
	command, log := rp.command(t, rp, issuer)
	rp.release()
	var said testenv.Log
	command.Stdout, command.Stderr = &said, &said
	process := testenv.Start(t, command)
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		select {
		case <-process.Ended():
		case <-time.After(patience):
			process.Kill()
			t.Errorf("%s did not stop when asked to", rp.id)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s%s", rp.id, said.Tail(8<<10), log())
		}
	})
	testenv.Eventually(t, rp.id+" listening", func() bool {
		select {
		case <-process.Ended():
			t.Fatalf("%s has ended:\n%s\n%s", rp.id, said.Tail(4<<10), log())
		default:
		}
		connection, err := net.Dial("tcp", "127.0.0.1:"+rp.port)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
}

// express runs testdata/express, installed by `make test-rp`.
func express(t *testing.T, rp *realParty, issuer string) (*exec.Cmd, func() string) {
	t.Helper()
	settings, err := json.Marshal(map[string]string{
		"issuer": issuer, "url": rp.url, "port": rp.port, "client_id": rp.id, "client_secret": rp.secret,
		"cookie_secret": randomText(), "cookie_name": "express_rp",
	})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("node", "server.js")
	command.Dir = filepath.Join("testdata", "express")
	command.Env = append(os.Environ(), "RELYING_PARTY="+string(settings))
	return command, func() string { return "" }
}

// apache runs Debian's Apache in one process, with its own configuration and folders.
func apache(t *testing.T, rp *realParty, issuer string) (*exec.Cmd, func() string) {
	t.Helper()
	// Not t.TempDir: Apache drops root privileges, and the parent folders are not readable by others.
	folder, err := os.MkdirTemp("", "apache-rp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	page, err := os.ReadFile(filepath.Join("testdata", "apache", "page.html"))
	if err != nil {
		t.Fatal(err)
	}
	template, err := os.ReadFile(filepath.Join("testdata", "apache", "apache.conf"))
	if err != nil {
		t.Fatal(err)
	}
	var modules strings.Builder
	for _, name := range []string{
		"mpm_event", "authn_core", "authz_core", "authz_user", "include", "auth_openidc",
	} {
		fmt.Fprintf(&modules, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", name, name)
	}
	config := strings.NewReplacer(
		"{folder}", folder, "{port}", rp.port, "{url}", rp.url, "{issuer}", issuer, "{client_id}", rp.id,
		"{client_secret}", rp.secret,
		"{passphrase}", randomText(), "{modules}", modules.String(),
	).Replace(string(template))
	for name, content := range map[string]string{
		"pages/page": string(page), "pages/bye": "bye", "apache.conf": config,
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	log := func() string {
		raw, _ := os.ReadFile(filepath.Join(folder, "error.log"))
		return string(raw)
	}
	return exec.Command("apache2", "-X", "-d", folder, "-f", filepath.Join(folder, "apache.conf")), log
}

// page returns the relying party's response to a browser, without following redirects.
func (rp *realParty) page(t *testing.T, b *browser) (status int, location, body string) {
	t.Helper()
	client := *b.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Get(rp.url + "/page")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var content bytes.Buffer
	_, _ = io.Copy(&content, response.Body)
	return response.StatusCode, response.Header.Get("Location"), content.String()
}

// knows reports whether the relying party's own session of the browser is that subject's.
func (rp *realParty) knows(t *testing.T, b *browser, subject string) bool {
	t.Helper()
	status, _, body := rp.page(t, b)
	return status == http.StatusOK && strings.TrimSpace(body) == "signed in as "+subject
}

// asks reports whether the relying party redirects the browser to the provider to sign in.
func (rp *realParty) asks(t *testing.T, b *browser, p *provider) bool {
	t.Helper()
	status, location, _ := rp.page(t, b)
	return status/100 == 3 && strings.HasPrefix(location, p.endpoint(t, "authorization_endpoint")+"?")
}
