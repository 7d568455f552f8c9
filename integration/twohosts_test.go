package integration

// Two servers on one PostgreSQL database (rule 14).

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// pair is two servers of one issuer behind a proxy that directs all requests to one of them.
type pair struct {
	first, second *provider
	serving       atomic.Pointer[provider]
}

// newPair starts two servers with the same keys over one empty store.
func newPair(t *testing.T, clients []map[string]any, users []user, flags ...string) *pair {
	t.Helper()
	w := &pair{}
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: w.serving.Load().address})
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(front.Close)
	w.first = startProvider(t, clients, users, append(flags, "-issuer", front.URL)...)
	w.second = w.first.beside(t, w.first.flags...)
	w.second.run(t)
	w.serving.Store(w.first)
	return w
}

// at directs all requests to that server.
func (w *pair) at(p *provider) *provider {
	w.serving.Store(p)
	return p
}

// beside returns a further server with the same keys, not yet started.
func (p *provider) beside(t *testing.T, flags ...string) *provider {
	t.Helper()
	other := &provider{
		data: filepath.Join(t.TempDir(), "data"), clients: p.clients, users: p.users,
		flags: flags, address: "127.0.0.1:0", adminToken: p.adminToken, log: watched.log(),
	}
	if err := os.Mkdir(other.data, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"global-secret", "signing-key.pem"} {
		content, err := os.ReadFile(filepath.Join(p.data, key))
		if err == nil {
			err = os.WriteFile(filepath.Join(other.data, key), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return other
}

// A user of one server is signed in at both, and sessions ended at one are over at both. If one is killed,
// the other keeps serving. The store is not swapped while another server has it open.
func TestTwoServersOnOneDatabase(t *testing.T) {
	t.Parallel()
	settings, shop := postgresSettings(t), newRelyingParty(t, "shop")
	w := newPair(t, []map[string]any{shop.registration()}, []user{ann, bob},
		"-backend", "postgres", "-dsn-file", settings.DSNFile, "-schema", settings.Schema,
		"-store", "next="+filepath.Join(t.TempDir(), "next"))
	first, second := w.first, w.second
	shop.discover(t, first)

	annsBrowser := newBrowser()
	anns := annsBrowser.signIn(t, shop, w.at(first), ann)
	if !w.at(second).active(t, shop, anns.token.AccessToken) {
		t.Error("a token of one server is inactive at the second")
	}
	if again := annsBrowser.signIn(t, shop, second, user{}); again.sid != anns.sid {
		t.Errorf("at the other server the browser has the session %q, want %q", again.sid, anns.sid)
	}
	if n := len(second.sessions(t, url.Values{"subject_id": {ann.Subject}})); n != 1 {
		t.Errorf("%d sessions at the other server, want 1", n)
	}
	first.refusesOtherSigningKey(t)
	w.refusesSwap(t, first)
	w.refusesSwap(t, second)

	w.at(second).remove(t, map[string]any{"subject_id": ann.Subject})
	if w.at(first).active(t, shop, anns.token.AccessToken) {
		t.Error("a token revoked at one server is active at the second")
	}
	if status, answer := first.refresh(t, shop, anns.token.RefreshToken); status != http.StatusBadRequest {
		t.Errorf("a refresh of a token revoked at the other server: %d %v", status, answer)
	}
	testenv.Eventually(t, "the client is notified", func() bool { return shop.told(t, anns.sid) == 1 })

	bobs := newBrowser().signIn(t, shop, w.at(second), bob)
	second.kill()
	if !w.at(first).active(t, shop, bobs.token.AccessToken) {
		t.Error("a token of the killed server is inactive")
	}
	status, answer := first.refresh(t, shop, bobs.token.RefreshToken)
	if status != http.StatusOK {
		t.Fatalf("a refresh after the other server was killed: %d %v", status, answer)
	}
	// A killed server cannot deregister: it counts as a host for another minute.
	w.refusesSwap(t, first)
	pgserver.Shared(t).Exec(t, "UPDATE "+settings.Schema+".hosts SET beat = beat - 120000000000")
	testenv.Eventually(t, "the killed server is forgotten", func() bool { return len(first.hosts(t)) == 1 })
	status, answer = first.admin(t, http.MethodPost, "/backend/swap", map[string]string{"backend": "next"})
	job, _ := answer["job"].(string)
	if status != http.StatusAccepted {
		t.Fatalf("the swap at the remaining server answered %d %v", status, answer)
	}
	testenv.Eventually(t, "the swap is done", func() bool {
		_, told := first.admin(t, http.MethodGet, "/jobs/"+job, nil)
		return told["state"] == "done" || t.Failed()
	})
	if n := len(first.sessions(t, nil)); n != 1 {
		t.Errorf("%d sessions after the swap, want 1", n)
	}
}

// refusesOtherSigningKey checks that a second server with a different signing key refuses to start, with an
// error that names the file.
func (p *provider) refusesOtherSigningKey(t *testing.T) {
	t.Helper()
	other := p.beside(t)
	file := filepath.Join(other.data, "signing-key.pem")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	content := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	said, err := exec.CommandContext(ctx, binary(t, "fosite-server"), append([]string{
		"-addr", "127.0.0.1:0", "-data", other.data, "-clients", p.clients, "-users", p.users,
		"-admin-token", p.adminToken,
	}, p.flags...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(said), file+" is not the one of the store's other servers") {
		t.Errorf("a server with a different signing key returned %v and printed %s", err, said)
	}
}

// hosts returns the hosts listed by GET /backend.
func (p *provider) hosts(t *testing.T) []any {
	t.Helper()
	_, backend := p.admin(t, http.MethodGet, "/backend", nil)
	hosts, _ := backend["hosts"].([]any)
	return hosts
}

// refusesSwap checks that a swap is refused, by HTTP and by sessionsctl, with a message that names the other
// server, and changes nothing.
func (w *pair) refusesSwap(t *testing.T, p *provider) {
	t.Helper()
	w.at(p)
	before := p.hosts(t)
	if len(before) != 2 {
		t.Fatalf("the hosts are %v, want two", before)
	}
	other, _ := before[0].(map[string]any) // both run on this machine with the same build
	name, _ := other["name"].(string)
	version, _ := other["version"].(string)
	want := name + " (version " + version + ", last beat "
	status, answer := p.admin(t, http.MethodPost, "/backend/swap", map[string]string{"backend": "next"})
	detail, _ := answer["detail"].(string)
	if status != http.StatusConflict || strings.Count(detail, want) != 1 {
		t.Errorf("the swap answered %d %v, want 409 and %q", status, answer, want)
	}
	said, err := p.command(t, "sessionsctl", "backend", "swap", "next", "--yes").CombinedOutput()
	if err == nil || strings.Count(string(said), want) != 1 {
		t.Errorf("sessionsctl returned %v and printed %s, want %q", err, said, want)
	}
	_, backend := p.admin(t, http.MethodGet, "/backend", nil)
	if backend["name"] != "postgres" || backend["status"] != "ready" {
		t.Errorf("afterwards the backend is %v", backend)
	}
}
