package integration

// The move from one server on Badger to several on PostgreSQL, and to the next release, under load.

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// balancer distributes requests over servers, round robin. A server is drained before it stops, as by
// Kubernetes or by an operator with nginx.
type balancer struct {
	mutex   sync.Mutex
	servers []*provider
	turn    int
	busy    map[*provider]int
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mutex.Lock()
	b.turn++
	server := b.servers[b.turn%len(b.servers)]
	b.busy[server]++
	b.mutex.Unlock()
	defer func() {
		b.mutex.Lock()
		b.busy[server]--
		b.mutex.Unlock()
	}()
	proxy := httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: server.address})
		r.Out.Host = r.In.Host
	}}
	proxy.ServeHTTP(w, r)
}

func (b *balancer) add(server *provider) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.servers = append(b.servers, server)
}

// drain removes a server from the rotation and waits for its pending requests.
func (b *balancer) drain(t *testing.T, server *provider) {
	t.Helper()
	b.mutex.Lock()
	b.servers = slices.DeleteFunc(b.servers, func(s *provider) bool { return s == server })
	b.mutex.Unlock()
	testenv.Eventually(t, "a server has no requests", func() bool {
		b.mutex.Lock()
		defer b.mutex.Unlock()
		return b.busy[server] == 0
	})
}

// restart stops a server by a signal and starts it with new flags.
func (p *provider) restart(t *testing.T, flags ...string) {
	t.Helper()
	if err := p.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.process.Ended():
	case <-time.After(patience):
		t.Fatal("a server does not end after SIGTERM")
	}
	if !p.process.ProcessState.Success() {
		t.Errorf("a server after SIGTERM: %s", p.process.ProcessState)
	}
	p.flags = flags
	p.start(t)
}

// A server on Badger is swapped to PostgreSQL by one call and joined by a second host, and both are upgraded
// to the next release in turn, while users refresh their tokens: no request fails, and all users are signed
// in at the end.
func TestServerBecomesSeveralWithoutAFailedRequest(t *testing.T) {
	t.Parallel()
	front := &balancer{busy: map[*provider]int{}}
	proxy := httptest.NewServer(front)
	t.Cleanup(proxy.Close)
	settings := postgresSettings(t)
	shared := []string{"-issuer", proxy.URL, "-dsn-file", settings.DSNFile}
	onPostgres := append(slices.Clone(shared), "-backend", "postgres", "-schema", settings.Schema)
	upgraded := append(slices.Clone(onPostgres), "-plugin", release(t, nextRelease))

	s := &swapper{rp: newRelyingParty(t, "shop")}
	for _, name := range []string{"cleo", "dan", "eve"} {
		s.users = append(s.users,
			user{name, "password of " + name, "sub-" + name, name, name + "@example.com"})
	}
	s.provider = startProvider(t, []map[string]any{s.rp.registration()}, s.users,
		append(slices.Clone(shared), "-store", "pg=postgres:"+settings.Schema)...)
	front.add(s.provider)
	s.rp.discover(t, s.provider)
	for _, u := range s.users {
		s.logins = append(s.logins, newBrowser().signIn(t, s.rp, s.provider, u))
	}
	goesOn, stop := s.load(t)

	status, answer := s.admin(t, http.MethodPost, "/backend/swap", map[string]string{"backend": "pg"})
	job, _ := answer["job"].(string)
	if status != http.StatusAccepted {
		t.Fatalf("the swap answered %d %v", status, answer)
	}
	testenv.Eventually(t, "the swap to be done", func() bool {
		_, told := s.admin(t, http.MethodGet, "/jobs/"+job, nil)
		return told["state"] == "done" || t.Failed()
	})
	goesOn("after the swap")
	second := s.beside(t, onPostgres...)
	second.run(t)
	front.add(second)
	goesOn("on two hosts")
	for _, server := range []*provider{s.provider, second} {
		front.drain(t, server)
		server.restart(t, upgraded...)
		front.add(server)
		goesOn("after the upgrade of a host")
	}
	stop()
	s.expectWhole(t)
	hosts := s.hosts(t)
	if len(hosts) != 2 {
		t.Errorf("the hosts are %v, want two", hosts)
	}
	for _, host := range hosts {
		if named, _ := host.(map[string]any); named["version"] != "v2" {
			t.Errorf("a host is %v, want it of v2", host)
		}
	}
}
