package integration

// Servers that share a store on PostgreSQL follow a swap started at one of them (rules 12 and 14).

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// fleet is a number of servers of one store behind a proxy, with signed-in users.
type fleet struct {
	*swapper
	front   *balancer
	servers []*provider
	schemas []string // of their stores
}

// newFleet starts servers with these further stores configured, and signs users in.
func newFleet(t *testing.T, servers, users int, stores ...string) *fleet {
	t.Helper()
	f := &fleet{
		swapper: &swapper{rp: newRelyingParty(t, "shop")}, front: &balancer{busy: map[*provider]int{}},
	}
	proxy := httptest.NewServer(f.front)
	t.Cleanup(proxy.Close)
	for i := range users {
		name := fmt.Sprintf("fleet%d", i)
		f.users = append(f.users,
			user{name, "password of " + name, "sub-" + name, name, name + "@example.com"})
	}
	settings := postgresSettings(t)
	f.schemas = append(f.schemas, settings.Schema)
	flags := []string{
		"-issuer", proxy.URL, "-backend", "postgres", "-dsn-file", settings.DSNFile,
		"-schema", settings.Schema,
	}
	for _, name := range stores {
		schema := postgresSettings(t).Schema
		f.schemas = append(f.schemas, schema)
		flags = append(flags, "-store", name+"=postgres:"+schema)
	}
	first := startProvider(t, []map[string]any{f.rp.registration()}, f.users, flags...)
	f.provider = first
	f.front.add(first)
	f.servers = append(f.servers, first)
	for len(f.servers) < servers {
		other := first.beside(t, flags...)
		other.run(t)
		f.front.add(other)
		f.servers = append(f.servers, other)
	}
	f.rp.discover(t, first)
	for _, u := range f.users {
		f.logins = append(f.logins, newBrowser().signIn(t, f.rp, first, u))
	}
	return f
}

// at returns a server, bypassing the proxy.
func (f *fleet) at(t *testing.T, i int) *provider {
	t.Helper()
	p := f.servers[i]
	direct := &provider{issuer: "http://" + p.address, adminToken: p.adminToken, metadata: map[string]any{}}
	direct.discover.Do(func() {
		for _, name := range []string{"introspection_endpoint", "token_endpoint"} {
			_, path, _ := strings.Cut(f.endpoint(t, name), f.issuer)
			direct.metadata[name] = direct.issuer + path
		}
	})
	return direct
}

// begin starts a swap at a server and returns its job.
func (f *fleet) begin(t *testing.T, i int, store string) (job string) {
	t.Helper()
	status, answer := f.at(t, i).admin(t, http.MethodPost, "/backend/swap",
		map[string]string{"backend": store})
	job, _ = answer["job"].(string)
	if status != http.StatusAccepted || job == "" {
		t.Fatalf("the swap answered %d %v, want 202 and a job", status, answer)
	}
	return job
}

// serves waits until a server serves from a store.
func (f *fleet) serves(t *testing.T, i int, store string) {
	t.Helper()
	var backend map[string]any
	testenv.Eventually(t, fmt.Sprintf("server %d serves from %s", i, store), func() bool {
		_, backend = f.at(t, i).admin(t, http.MethodGet, "/backend", nil)
		return backend["configured_as"] == store && backend["status"] == "ready" || t.Failed()
	})
}

// A swap started at one of three servers is followed by the second under load. The third server is stopped
// meanwhile and follows when it continues: its first answer is from the new store.
func TestServersFollowASwap(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, 4, "next")
	third := f.servers[2]
	token := f.logins[0].token.AccessToken
	if !f.at(t, 2).active(t, f.rp, token) { // the server caches it from now on
		t.Fatal("a token is dead")
	}
	f.front.drain(t, third)
	third.stop(t)
	goesOn, stop := f.load(t)
	job := f.begin(t, 0, "next")
	testenv.Eventually(t, "the swap is done", func() bool {
		_, told := f.at(t, 0).admin(t, http.MethodGet, "/jobs/"+job, nil)
		if told["state"] == "failed" {
			t.Fatalf("the swap has failed: %v", told)
		}
		return told["state"] == "done" || t.Failed()
	})
	for i := range 2 {
		f.serves(t, i, "next")
	}
	goesOn("after the swap")
	stop()
	f.expectWhole(t)
	f.remove(t, map[string]any{"subject_id": f.users[0].Subject})
	third.goOn(t)
	if f.at(t, 2).active(t, f.rp, token) {
		t.Error("a server that was stopped answers active for a token removed in the new store")
	}
	f.serves(t, 2, "next")
	f.front.add(third)
	f.users, f.logins = f.users[1:], f.logins[1:]
	f.expectWhole(t)
	if hosts := f.hosts(t); len(hosts) != 3 {
		t.Errorf("the hosts of the new store are %v, want three", hosts)
	}
	third.restart(t, third.flags...) // with the flags from before the swap
	f.serves(t, 2, "next")
	f.expectWhole(t)
}

// The server that runs the swap is killed at any point. The second server continues without a failed request,
// on either store, and the first one restarts on the same store. SESSIONS_SWAP_KILLS sets the number of
// kills.
func TestServerIsKilledDuringASwap(t *testing.T) {
	t.Parallel()
	kills := 3
	if n, err := strconv.Atoi(os.Getenv("SESSIONS_SWAP_KILLS")); err == nil {
		kills = n
	}
	var stores []string
	for i := range kills {
		stores = append(stores, fmt.Sprintf("s%d", i))
	}
	f := newFleet(t, 2, 3, stores...)
	f.front.drain(t, f.servers[0])
	goesOn, stop := f.load(t)
	for i, store := range stores {
		f.begin(t, 0, store)
		time.Sleep(rand.N(1200 * time.Millisecond)) // a random point, not a wait
		f.servers[0].kill()
		goesOn("after the server that swaps was killed")
		f.servers[0].start(t)
		_, backend := f.at(t, 1).admin(t, http.MethodGet, "/backend", nil)
		name, _ := backend["configured_as"].(string)
		t.Logf("killed during the swap to %s, serving from %s", store, name)
		f.serves(t, 0, name)
		f.serves(t, 1, name)
		for _, schema := range f.schemas[:len(f.schemas)-kills+i+1] { // the move counts as lost
			pgserver.Shared(t).Exec(t, "UPDATE "+schema+".ledger SET moved = moved - 3600000000000")
		}
	}
	stop()
	f.expectWhole(t)
}

// The backend's program is replaced at one of two servers, over the same data, while the second server is
// stopped: an upgrade does not need the other hosts.
func TestUpgradeBesideAStoppedServer(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, 2)
	f.front.drain(t, f.servers[1])
	f.servers[1].stop(t)
	goesOn, stop := f.load(t)
	status, answer := f.at(t, 0).admin(t, http.MethodPost, "/backend/swap",
		map[string]any{"backend": "main", "same_data": true})
	job, _ := answer["job"].(string)
	if status != http.StatusAccepted {
		t.Fatalf("the upgrade answered %d %v", status, answer)
	}
	testenv.Eventually(t, "the upgrade is done", func() bool {
		_, told := f.at(t, 0).admin(t, http.MethodGet, "/jobs/"+job, nil)
		return told["state"] == "done" || t.Failed()
	})
	goesOn("after the upgrade")
	stop()
	f.servers[1].goOn(t)
	f.front.add(f.servers[1])
	f.expectWhole(t)
}

// stop stops a server and its plugin (SIGSTOP) until goOn is called.
func (p *provider) stop(t *testing.T) { p.signal(t, syscall.SIGSTOP) }

func (p *provider) goOn(t *testing.T) { p.signal(t, syscall.SIGCONT) }

func (p *provider) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	for _, pid := range slices.Concat([]int{p.host}, children(p.host)) {
		if err := syscall.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
	}
}
