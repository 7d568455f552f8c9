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

// pair are two servers of one issuer, and the proxy before them, which leads to one of them.
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

// at leads all requests to that server.
func (w *pair) at(p *provider) *provider {
	w.serving.Store(p)
	return p
}

// beside returns another server with the keys of this one, which is to be run.
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

// A user of one server is signed in at the other, and what one of them ends is over at both. One is killed,
// and the other goes on. The store is not swapped from under a server that has it open.
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
		t.Error("a token of one server is dead at the other")
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
		t.Error("a token lives at one server that the other has revoked")
	}
	if status, answer := first.refresh(t, shop, anns.token.RefreshToken); status != http.StatusBadRequest {
		t.Errorf("a refresh of what the other server has revoked: %d %v", status, answer)
	}
	testenv.Eventually(t, "the client to be notified", func() bool { return shop.told(t, anns.sid) == 1 })

	bobs := newBrowser().signIn(t, shop, w.at(second), bob)
	second.kill()
	if !w.at(first).active(t, shop, bobs.token.AccessToken) {
		t.Error("a token of the server that was killed is dead")
	}
	status, answer := first.refresh(t, shop, bobs.token.RefreshToken)
	if status != http.StatusOK {
		t.Fatalf("a refresh after the other server was killed: %d %v", status, answer)
	}
	// Killed, it could not say that it ends: for a minute it may come back.
	w.refusesSwap(t, first)
	pgserver.Shared(t).Exec(t, "UPDATE "+settings.Schema+".hosts SET beat = beat - 120000000000")
	testenv.Eventually(t, "the killed server is forgotten", func() bool { return len(first.hosts(t)) == 1 })
	status, answer = first.admin(t, http.MethodPost, "/backend/swap", map[string]string{"backend": "next"})
	job, _ := answer["job"].(string)
	if status != http.StatusAccepted {
		t.Fatalf("the swap of the server that is left answered %d %v", status, answer)
	}
	testenv.Eventually(t, "the swap to be done", func() bool {
		_, told := first.admin(t, http.MethodGet, "/jobs/"+job, nil)
		return told["state"] == "done" || t.Failed()
	})
	if n := len(first.sessions(t, nil)); n != 1 {
		t.Errorf("%d sessions after the swap, want 1", n)
	}
}

// refusesOtherSigningKey holds that a server beside this one ends at its start where its signing key is
// another one, and says which file it is.
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
		t.Errorf("beside a server of another signing key one ended with %v and said %s", err, said)
	}
}

// hosts are what GET /backend names.
func (p *provider) hosts(t *testing.T) []any {
	t.Helper()
	_, backend := p.admin(t, http.MethodGet, "/backend", nil)
	hosts, _ := backend["hosts"].([]any)
	return hosts
}

// refusesSwap holds that a swap is refused with a message that names the other server, by HTTP and by
// sessionsctl, and leaves everything as it was.
func (w *pair) refusesSwap(t *testing.T, p *provider) {
	t.Helper()
	w.at(p)
	before := p.hosts(t)
	if len(before) != 2 {
		t.Fatalf("the hosts are %v, want two", before)
	}
	other, _ := before[0].(map[string]any) // both are on this machine, and of one build
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
		t.Errorf("sessionsctl ended with %v and said %s, want %q", err, said, want)
	}
	_, backend := p.admin(t, http.MethodGet, "/backend", nil)
	if backend["name"] != "postgres" || backend["status"] != "ready" {
		t.Errorf("afterwards the backend is %v", backend)
	}
}
