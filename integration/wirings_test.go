package integration

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/ory/fosite"
	"golang.org/x/oauth2"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// wired is a server with sessions added to it, and its relying party.
type wired struct {
	*world
	settings wiredSettings
	public   crypto.PublicKey
	// tenant is the value in the custom session type.
	tenant string
	// pluginID returns the process id of the storage plugin, or 0 if none runs.
	pluginID func() int
}

// Peter is a user of fosite's example store.
const (
	wiredSubject  = "peter"
	wiredPassword = "secret"
)

// Sessions work with any router and any kind of sign-in. Each wiring is a different kind; the README shows
// parts of all three.
func TestWirings(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, w *wired){
		"a login form inside authorize, on net/http":                          startMinimalServer,
		"a separate login page, on chi":                                       startOnChi,
		"an upstream provider's callback and a custom session type, on a mux": startOnMux,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWired(t)
			start(t, w)
			w.live(t)
		})
	}
}

// live runs the steps of a user, a client and an operator on a server.
func (w *wired) live(t *testing.T) {
	t.Helper()
	peters := newBrowser()
	login := w.signIn(t, peters)
	expectSignedIn(t, "Peter", peters, w.shop, true) // a second code, without a page
	w.expectAlive(t, "Peter", w.shop, &login)
	login = w.signIn(t, peters, oauth2.SetAuthURLParam("prompt", "login")) // one form

	_, shown := w.post(t, "introspection_endpoint", w.shop, url.Values{"token": {login.token.AccessToken}})
	if tenant, _ := shown["tenant"].(string); shown["sub"] != wiredSubject || tenant != w.tenant {
		t.Errorf("introspection shows %v, want %s of tenant %q", shown, wiredSubject, w.tenant)
	}

	w.killPlugin(t)
	expectSignedIn(t, "Peter after a crash of the plugin", peters, w.shop, true)
	w.expectAlive(t, "Peter after a crash of the plugin", w.shop, &login)

	found := w.sessions(t, url.Values{"subject_id": {wiredSubject}})
	if len(found) != 1 || found[0]["session_id"] != login.sid ||
		fmt.Sprint(found[0]["client_ids"]) != "["+w.shop.id+"]" {
		t.Errorf("operators see %v, want one session %s with the client %s", found, login.sid, w.shop.id)
	}
	w.expectCounts(t, w.remove(t, map[string]any{"subject_id": wiredSubject}),
		map[string]float64{"sessions_removed": 1, "notifications_queued": 1})
	w.expectDead(t, "Peter", w.shop, login)
	expectSignedIn(t, "Peter after the removal", peters, w.shop, false)
	w.expectTold(t, w.shop, login.sid)

	w.killPlugin(t)
	w.expectDead(t, "Peter after a removal and a crash", w.shop, login)
	expectSignedIn(t, "Peter after a removal and a crash", peters, w.shop, false)
	again := w.signIn(t, peters)
	if again.sid == login.sid {
		t.Error("a sign-in after the removal has the removed session")
	}
	w.expectAlive(t, "Peter again", w.shop, &again)
}

// signIn begins at the client and fills in the form that follows.
func (w *wired) signIn(t *testing.T, b *browser, extra ...oauth2.AuthCodeOption) signedIn {
	t.Helper()
	v := &visitor{t: t, client: b.client}
	page := v.at(v.parse(w.shop.authorizeURL(extra...)), nil)
	page.must(t, http.StatusOK, `name="password"`)
	form := url.Values{"user": {wiredSubject}, "password": {wiredPassword}}
	v.at(page.at, form).must(t, http.StatusOK, "signed in as "+wiredSubject)
	return w.shop.lastLogin(t)
}

// killPlugin kills the plugin and waits for the next one.
func (w *wired) killPlugin(t *testing.T) {
	t.Helper()
	killed := w.pluginID()
	if killed == 0 {
		t.Fatal("no plugin runs")
	}
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "another plugin", func() bool {
		next := w.pluginID()
		return next != 0 && next != killed
	})
}

func newWired(t *testing.T) *wired {
	t.Helper()
	rp := newRelyingParty(t, "shop")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	hasher := &fosite.BCrypt{Config: &fosite.Config{HashCost: 4}}
	hash, err := hasher.Hash(t.Context(), []byte(rp.secret))
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{adminToken: "admin-token-" + randomText(), log: watched.log()}
	handedOut("admin token", p.adminToken)
	handedOut("client secret", rp.secret)
	return &wired{
		world: &world{provider: p, shop: rp}, public: key.Public(),
		settings: wiredSettings{
			ID: rp.id, Secret: string(hash), RedirectURI: rp.server.URL + "/callback",
			LogoutURI: rp.server.URL + "/backchannel?from=op", Key: encoded,
		},
	}
}

// serves sets the server's endpoints: it has no metadata.
func (w *wired) serves(address string) {
	w.issuer = "http://" + address
	w.discover.Do(func() {
		w.metadata = map[string]any{
			"token_endpoint":         w.issuer + "/oauth2/token",
			"introspection_endpoint": w.issuer + "/oauth2/introspect",
		}
	})
	keys := &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{w.public}}
	w.shop.verifier = oidc.NewVerifier(w.issuer, keys, &oidc.Config{ClientID: w.shop.id})
	w.shop.config = &oauth2.Config{
		ClientID: w.shop.id, ClientSecret: w.shop.secret, RedirectURL: w.settings.RedirectURI,
		Endpoint: oauth2.Endpoint{
			AuthURL: w.issuer + "/oauth2/auth", TokenURL: w.issuer + "/oauth2/token",
			AuthStyle: oauth2.AuthStyleInHeader,
		},
		Scopes: []string{oidc.ScopeOpenID, "profile", oidc.ScopeOfflineAccess},
	}
}

// minimalServer is the README's server with a given key and client.
var minimalServer = [][2]string{
	{"rsa.GenerateKey(rand.Reader, 2048)", "wired().key(rsa.GenerateKey(rand.Reader, 2048))"},
	{"storage.NewExampleStore()", "wired().store(storage.NewExampleStore())"},
	{"fositestore.Attach(ctx, config)", "fositestore.Attach(ctx, wired().loopback(config))"},
}

// startMinimalServer builds and starts examples/minimal-server as a process.
func startMinimalServer(t *testing.T, w *wired) {
	folder := t.TempDir()
	program := filepath.Join(folder, "minimal-server")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../examples/minimal-server", "-overlay",
		minimalOverlay(t, w, folder), "-o", program, ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	secret := randomText() + randomText()
	handedOut("global secret", secret)
	command := exec.Command(program)
	command.Dir, command.Stderr = folder, w.log
	// A killed host cannot remove the folder of its socket.
	command.Env = append(os.Environ(), "TMPDIR="+binaries.folder, "ADDR="+w.address, "SECRET="+secret,
		"ADMIN_TOKEN="+w.adminToken, "PATH="+filepath.Dir(binary(t, "sessions-badger")))
	w.process = testenv.Start(t, command)
	w.host = w.process.Process.Pid
	t.Cleanup(func() {
		w.kill()
		if t.Failed() {
			t.Logf("the server's log:\n%s", w.log.Tail(8<<10))
		}
	})
	testenv.Eventually(t, "the server listens", func() bool {
		connection, err := net.Dial("tcp", w.address)
		return err == nil && connection.Close() == nil
	})
	w.serves(w.address)
	w.pluginID = func() int {
		for _, pid := range children(w.host) {
			if testenv.Runs(pid) {
				return pid
			}
		}
		return 0
	}
}

// minimalOverlay returns a compiler overlay of the server with the replacements and their code.
func minimalOverlay(t *testing.T, w *wired, folder string) string {
	t.Helper()
	read := func(path string) string {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	source := read("../examples/minimal-server/main.go")
	for _, pair := range minimalServer {
		if strings.Count(source, pair[0]) != 1 {
			t.Fatalf("examples/minimal-server has not one %s", pair[0])
		}
		source = strings.Replace(source, pair[0], pair[1], 1)
	}
	host := strings.Replace(read("wirings_settings_test.go"), "package integration", "package main", 1) +
		fmt.Sprintf("\nfunc wired() wiredSettings { return %s }\n",
			strings.ReplaceAll(fmt.Sprintf("%#v", w.settings), "integration.", ""))
	replaced := map[string]string{}
	for name, code := range map[string]string{"main.go": source, "wired.go": host} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		original, err := filepath.Abs(filepath.Join("../examples/minimal-server", name))
		if err != nil {
			t.Fatal(err)
		}
		replaced[original] = path
	}
	return writeJSON(t, folder, "overlay.json", map[string]any{"Replace": replaced})
}
