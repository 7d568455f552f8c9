package integration

// The example server as a process.

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/integration/contract"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// patience bounds the wait for a condition, on a slow machine.
const patience = time.Minute

// provider is a running example server with its plugin.
type provider struct {
	data, clients, users string
	flags                []string
	// host and plugin are process ids.
	host, plugin int
	issuer       string
	address      string
	adminToken   string
	// demo are the addresses of the demo clients, if they run.
	demo []string

	discover sync.Once
	metadata map[string]any

	process *testenv.Process
	log     *testenv.Log
}

// startProvider starts the example server with these clients, users and extra flags in its own folder.
func startProvider(t testing.TB, clients []map[string]any, users []user, flags ...string) *provider {
	t.Helper()
	return startProviderAt(t, filepath.Join(t.TempDir(), "data"), clients, users, flags...)
}

// startProviderAt is startProvider with its data in that folder.
func startProviderAt(
	t testing.TB, data string, clients []map[string]any, users []user, flags ...string,
) *provider {
	t.Helper()
	folder := t.TempDir()
	p := &provider{
		data: data, flags: flags, address: "127.0.0.1:0", adminToken: "admin-token-" + randomText(),
		log: watched.log(),
	}
	handedOut("admin token", p.adminToken)
	for _, u := range users {
		handedOut("password", u.Password)
	}
	for _, client := range clients {
		if secret, _ := client["client_secret"].(string); secret != "" {
			handedOut("client secret", secret)
		}
	}
	p.clients = writeJSON(t, folder, "clients.json", clients)
	p.users = writeJSON(t, folder, "users.json", users)
	p.run(t)
	return p
}

// startDemo starts the example server with its demo clients and users.
func startDemo(t testing.TB, flags ...string) *provider {
	t.Helper()
	p := &provider{
		flags: flags,
		data:  filepath.Join(t.TempDir(), "data"), address: "127.0.0.1:0",
		adminToken: "admin-token-" + randomText(), log: watched.log(),
	}
	handedOut("admin token", p.adminToken)
	p.run(t)
	return p
}

// run starts the server until the end of the test.
func (p *provider) run(t testing.TB) {
	t.Helper()
	t.Cleanup(func() { // also after a failed start
		p.kill()
		if t.Failed() {
			t.Logf("the server's log:\n%s", p.log.Tail(8<<10))
		}
	})
	p.start(t)
}

// start starts the server in its folder.
func (p *provider) start(t testing.TB) {
	t.Helper()
	if !strings.HasSuffix(p.address, ":0") {
		testenv.Eventually(t, "its port is free: in between another test may have got it", func() bool {
			listener, err := net.Listen("tcp", p.address)
			return err == nil && listener.Close() == nil
		})
	}
	command := exec.Command(binary(t, "fosite-server"), append([]string{
		"-addr", p.address, "-data", p.data, "-clients", p.clients, "-users", p.users,
		"-admin-token", p.adminToken, "-allow-logout-cidr", "127.0.0.1/32",
	}, p.flags...)...)
	command.Stderr = p.log
	// A killed host cannot remove the folder of its socket.
	command.Env = append(os.Environ(), "TMPDIR="+binaries.folder)
	p.process = testenv.Start(t, command)
	p.host = p.process.Process.Pid
	t.Cleanup(p.kill) // runs before only the process is killed
	late := time.AfterFunc(patience, p.process.Kill)
	values := announced(p.process)
	late.Stop()
	p.issuer, p.address, p.demo = values["issuer"], values["address"], nil
	for line := range strings.Lines(values["client"]) {
		address, _, _ := strings.Cut(line, " ")
		p.demo = append(p.demo, address)
	}
	p.plugin, _ = strconv.Atoi(values["plugin_pid"])
	if p.issuer == "" || p.plugin == 0 {
		t.Fatalf("the server announced %v\n%s", values, p.log.Tail(4<<10))
	}
	p.watchKeys(t)
}

// watchKeys registers the keys in the server's data folder with the watch for secrets in logs.
func (p *provider) watchKeys(t testing.TB) {
	t.Helper()
	read := func(name string) []byte {
		raw, err := os.ReadFile(filepath.Join(p.data, name))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	handedOut("global secret", string(read("global-secret")))
	block, _ := pem.Decode(read("signing-key.pem"))
	if block == nil {
		t.Fatal("the signing key is not a PEM file")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		t.Fatalf("the signing key is a %T, error %v", parsed, err)
	}
	handedOut("signing key", base64.RawURLEncoding.EncodeToString(key.D.Bytes()))
	for _, prime := range key.Primes {
		handedOut("signing key", base64.RawURLEncoding.EncodeToString(prime.Bytes()))
		handedOut("signing key", prime.String()) // as printed by %v
	}
}

// announced reads the "key: value" lines up to the empty line. A repeated key has a line for each value.
func announced(server *testenv.Process) map[string]string {
	values := map[string]string{}
	for line := range server.Lines() {
		if line == "" {
			break
		}
		key, value, _ := strings.Cut(line, ": ")
		values[key] = strings.TrimPrefix(values[key]+"\n"+value, "\n")
	}
	return values
}

// kill ends host and plugin together, like a crash of the machine, and waits until both have ended.
func (p *provider) kill() {
	if p.host == 0 {
		return
	}
	deadline := time.Now().Add(patience)
	// A stopped host does not replace its killed plugin.
	_ = p.process.Process.Signal(syscall.SIGSTOP)
	for !strings.ContainsAny(testenv.State(p.host), "TZ") && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	plugins := children(p.host) // in a swap there are two
	if p.plugin > 0 {
		plugins = append(plugins, p.plugin) // an orphan, if the host has ended before
	}
	// The plugins first: a plugin that outlives its host closes its store gracefully.
	for _, pid := range plugins {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = p.process.Process.Kill()
	<-p.process.Ended()
	for slices.ContainsFunc(plugins, testenv.Runs) && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
}

// theContract is loaded once.
var theContract = sync.OnceValues(contract.Load)

// admin calls an admin route, checks the response against the contract, and returns status and body.
func (p *provider) admin(t testing.TB, method, path string, body any) (int, map[string]any) {
	t.Helper()
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		payload = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, p.issuer+"/admin"+path, payload)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+p.adminToken)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	document, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &contract.Transport{
		Document: document, Mounts: map[string]string{"/admin": ""}, Report: t.Errorf,
	}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = response.Body.Close() }()
	answer := map[string]any{}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: status %d, answer is not JSON: %v", method, path, response.StatusCode, err)
	}
	return response.StatusCode, answer
}

// remove calls POST /sessions/remove and returns its counts.
func (p *provider) remove(t testing.TB, body map[string]any) map[string]any {
	t.Helper()
	status, answer := p.admin(t, http.MethodPost, "/sessions/remove", body)
	if status != http.StatusOK {
		t.Fatalf("remove %v: status %d, answer %v, want 200", body, status, answer)
	}
	return answer
}

// sessions queries sessions by the given parameters.
func (p *provider) sessions(t testing.TB, query url.Values) []map[string]any {
	t.Helper()
	status, answer := p.admin(t, http.MethodGet, "/sessions?"+query.Encode(), nil)
	if status != http.StatusOK {
		t.Fatalf("query %v: status %d, answer %v, want 200", query, status, answer)
	}
	var found []map[string]any
	list, _ := answer["results"].([]any)
	for _, s := range list {
		session, _ := s.(map[string]any)
		found = append(found, session)
	}
	return found
}

// post sends a form as that client to an endpoint, named as in the metadata, and returns status and body.
func (p *provider) post(
	t testing.TB, endpoint string, rp *relyingParty, form url.Values,
) (int, map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.endpoint(t, endpoint),
		strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(rp.id), url.QueryEscape(rp.secret))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("POST to the %s: %v", endpoint, err)
	}
	defer func() { _ = response.Body.Close() }()
	answer := map[string]any{}
	_ = json.NewDecoder(response.Body).Decode(&answer)
	for field, kind := range map[string]string{
		"access_token": "access token", "refresh_token": "refresh token", "id_token": "ID token",
	} {
		if token, _ := answer[field].(string); token != "" {
			handedOut(kind, token)
		}
	}
	return response.StatusCode, answer
}

func (p *provider) endpoint(t testing.TB, name string) string {
	t.Helper()
	p.discover.Do(func() {
		response, err := http.Get(p.issuer + "/.well-known/openid-configuration")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if err := json.NewDecoder(response.Body).Decode(&p.metadata); err != nil {
			t.Fatal(err)
		}
	})
	address, _ := p.metadata[name].(string)
	if address == "" {
		t.Fatalf("the provider's metadata have no %s", name)
	}
	return address
}

// active introspects a token.
func (p *provider) active(t testing.TB, rp *relyingParty, token string) bool {
	t.Helper()
	status, answer := p.post(t, "introspection_endpoint", rp, url.Values{"token": {token}})
	active, ok := answer["active"].(bool)
	if status != http.StatusOK || !ok {
		t.Fatalf("introspection: status %d, answer %v", status, answer)
	}
	return active
}

// refresh redeems a refresh token.
func (p *provider) refresh(t testing.TB, rp *relyingParty, token string) (int, map[string]any) {
	t.Helper()
	return p.post(t, "token_endpoint", rp,
		url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func writeJSON(t testing.TB, folder, name string, value any) string {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
