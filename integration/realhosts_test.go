//go:build rp && linux

package integration

// Two servers behind nginx, as `make run-ha` runs them.

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// site is what run-ha.sh runs.
type site struct {
	*provider // behind nginx
	folder    string
	process   *testenv.Process
}

// startSite runs the script until the test ends, and checks that it leaves no processes.
func startSite(t *testing.T, clients []map[string]any, users []user) *site {
	t.Helper()
	command := exec.Command("../examples/several-hosts/run-ha.sh", "-users",
		writeJSON(t, t.TempDir(), "users.json", users))
	command.Env = append(os.Environ(), "PORT="+strconv.Itoa(freePorts(t)),
		"SERVER="+binary(t, "fosite-server"),
		"CLIENTS="+writeJSON(t, t.TempDir(), "clients.json", clients))
	log := watched.log()
	command.Stderr = log
	s := &site{process: testenv.Start(t, command)}
	late := time.AfterFunc(2*patience, s.process.Kill)
	said := announced(s.process)
	late.Stop()
	s.folder = said["folder"]
	t.Cleanup(func() { s.stop(t, log) })
	if s.folder == "" {
		t.Fatalf("the script announced %v\n%s", said, log.Tail(4<<10))
	}
	token, err := os.ReadFile(filepath.Join(s.folder, "keys", "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	handedOut("admin token", string(token))
	s.provider = &provider{issuer: said["issuer"], adminToken: string(token), log: log}
	return s
}

// freePorts returns the first of the script's ports, outside of the kernel's ephemeral range.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		free := true
		for _, offset := range []int{0, 10, 20} {
			listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+offset))
			if free = free && err == nil; err == nil {
				_ = listener.Close()
			}
		}
		if free {
			return port
		}
	}
	t.Fatal("no free ports")
	return 0
}

// at returns one of the two servers, bypassing nginx.
func (s *site) at(t *testing.T, name string) *provider {
	t.Helper()
	base, err := url.Parse(s.issuer)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(base.Port())
	if err != nil {
		t.Fatal(err)
	}
	offset := map[string]int{"first": 10, "second": 20}[name]
	return &provider{
		issuer: fmt.Sprintf("http://127.0.0.1:%d", port+offset), adminToken: s.adminToken, log: s.log,
	}
}

func (s *site) pid(name string) int {
	raw, _ := os.ReadFile(filepath.Join(s.folder, name+".pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	return pid
}

// stop ends the script like Ctrl-C.
func (s *site) stop(t *testing.T, log *testenv.Log) {
	t.Helper()
	if t.Failed() {
		for _, name := range []string{"first", "second", "nginx"} {
			raw, _ := os.ReadFile(filepath.Join(s.folder, name+".log"))
			t.Logf("%s said:\n%s", name, raw[max(0, len(raw)-4<<10):])
		}
	}
	pids := []int{s.pid("first"), s.pid("second"), s.pid("nginx")}
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.process.Ended():
	case <-time.After(patience):
		s.process.Kill()
		t.Errorf("the script does not end:\n%s", log.Tail(4<<10))
	}
	for _, pid := range pids {
		if pid > 0 && testenv.Runs(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
	if _, err := os.Stat(s.folder); err == nil {
		t.Errorf("%s is left", s.folder)
	}
}

// kill ends a server by SIGKILL, and waits until the script has started it again.
func (s *site) kill(t *testing.T, name string, meanwhile func()) {
	t.Helper()
	killed := s.pid(name)
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatalf("kill the %s server: %v", name, err)
	}
	meanwhile()
	p := s.at(t, name)
	testenv.Eventually(t, "the "+name+" server is back", func() bool {
		if s.pid(name) == killed {
			return false
		}
		response, err := http.Get(p.issuer + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusNoContent
	})
}

// TestRealServersBehindNginx: a user who signs in through nginx can be signed out at either server. Each
// server is killed under load, and no request fails that nginx can retry at the second server.
func TestRealServersBehindNginx(t *testing.T) {
	t.Parallel()
	shop := newRelyingParty(t, "shop")
	s := startSite(t, []map[string]any{shop.registration()}, []user{ann, bob})
	shop.discover(t, s.provider)
	bobs := newBrowser().signIn(t, shop, s.provider, bob)
	for _, name := range []string{"first", "second"} {
		anns := newBrowser().signIn(t, shop, s.provider, ann)
		s.at(t, name).remove(t, map[string]any{"subject_id": ann.Subject})
		if s.active(t, shop, anns.token.AccessToken) {
			t.Errorf("a token revoked by the %s server is still active", name)
		}
		testenv.Eventually(t, "the client is notified", func() bool { return shop.told(t, anns.sid) >= 1 })
	}

	stop := make(chan struct{})
	var answered atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for !t.Failed() {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.asks(shop, bobs.token.AccessToken); err != nil {
					t.Errorf("a request failed: %v", err)
				}
				answered.Add(1)
			}
		})
	}
	goesOn := func() {
		before := answered.Load()
		testenv.Eventually(t, "the load continues", func() bool {
			return answered.Load() > before+100 || t.Failed()
		})
	}
	goesOn()
	for _, name := range []string{"first", "second"} {
		s.kill(t, name, goesOn)
		goesOn()
	}
	close(stop)
	wg.Wait()
	status, answer := s.refresh(t, shop, bobs.token.RefreshToken)
	if status != http.StatusOK {
		t.Errorf("a refresh after both servers were killed: %d %v", status, answer)
	}
}

// asks introspects a token and reads its userinfo.
func (s *site) asks(rp *relyingParty, token string) error {
	introspect, err := http.NewRequest(http.MethodPost, s.issuer+"/oauth2/introspect",
		strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return err
	}
	introspect.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	introspect.SetBasicAuth(url.QueryEscape(rp.id), url.QueryEscape(rp.secret))
	userInfo, err := http.NewRequest(http.MethodGet, s.issuer+"/userinfo", nil)
	if err != nil {
		return err
	}
	userInfo.Header.Set("Authorization", "Bearer "+token)
	for request, want := range map[*http.Request]string{
		introspect: `"active":true`, userInfo: `"sub":"` + bob.Subject + `"`,
	} {
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			return fmt.Errorf("%s: %s %s, error %w", request.URL.Path, response.Status, body, err)
		}
	}
	return nil
}
