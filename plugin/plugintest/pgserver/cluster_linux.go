package pgserver

// Clusters for failover tests: three PostgreSQL servers under Patroni, with one etcd.

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// The network of a cluster, in the test's own network namespace (testenv.NeedNetwork). The hosts of a store
// are at the bridge, etcd at a second address of it.
const (
	bridge      = "sessions"
	hostAddress = "10.77.0.1"
	etcdAddress = "10.77.0.2"
	bridgeMAC   = "02:00:00:00:00:01"
)

// clusterSize counts a primary, its synchronous standby, and a third node that replaces the standby.
const clusterSize = 3

// Cluster is a PostgreSQL cluster with automatic failover: an acknowledged commit is on the disks of two
// servers (synchronous_mode), and the second of them takes over.
type Cluster struct {
	Nodes   []*Node
	ttl     time.Duration
	folder  string
	bin     string
	account *account
	client  *http.Client
	etcd    testenv.Log
}

// StartCluster starts a cluster for the test in the test's network namespace, and waits until it is complete.
// ttl is how long a primary keeps its lock without renewing it, at least 8 s. The cluster ends with the test.
// Without Patroni and etcd the test is skipped; in CI it fails.
func StartCluster(t *testing.T, ttl time.Duration) *Cluster {
	t.Helper()
	c := &Cluster{bin: need(t), ttl: ttl, client: &http.Client{
		Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
	}}
	var err error
	if c.account, err = unprivileged(); err != nil {
		t.Fatal(err)
	}
	removeLeftovers()
	if c.folder, err = os.MkdirTemp("", leftoverPrefix()+"*"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(c.folder) })
	c.own(t, c.folder)
	// A bridge without its own MAC address takes that of a port: when that node goes, the others would use
	// the old address for etcd until their neighbour tables expire, some 30 s later.
	for _, command := range []string{
		"link add " + bridge + " address " + bridgeMAC + " type bridge",
		"address add " + hostAddress + "/24 dev " + bridge,
		"address add " + etcdAddress + "/24 dev " + bridge, "link set " + bridge + " up",
	} {
		ip(t, command)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", bridge).Run() }) //nolint:noctx // short
	c.startEtcd(t)
	for i := range clusterSize {
		c.Nodes = append(c.Nodes, c.newNode(t, i+1))
	}
	for _, n := range c.Nodes {
		n.Begin(t)
		t.Cleanup(n.Kill)
	}
	c.AwaitWhole(t)
	return c
}

// ClusterTools returns the programs that a cluster needs besides PostgreSQL's.
func ClusterTools() []string { return []string{"patroni", "etcd", "setpriv"} }

// own changes the owner of a file to the servers' user.
func (c *Cluster) own(t *testing.T, path string) {
	t.Helper()
	if err := os.Chown(path, int(c.account.uid), int(c.account.gid)); err != nil {
		t.Fatal(err)
	}
}

// ip changes the network.
func ip(t testing.TB, command string) {
	t.Helper()
	//nolint:noctx // it is short
	if said, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", command, err, said)
	}
}

func (c *Cluster) startEtcd(t *testing.T) {
	t.Helper()
	client, peer := "http://"+etcdAddress+":2379", "http://"+etcdAddress+":2380"
	//nolint:noctx // it ends with the test
	command := exec.Command("etcd", "--data-dir", filepath.Join(c.folder, "etcd"),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "default="+peer, "--enable-v2", "--logger", "zap",
		"--log-level", "warn")
	command.Dir, command.Stdout, command.Stderr = c.folder, &c.etcd, &c.etcd
	command.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: c.account.uid, Gid: c.account.gid},
	}
	testenv.Start(t, command)
}

// DSN names all servers; the primary among them is used.
func (c *Cluster) DSN() string {
	var hosts []string
	for _, n := range c.Nodes {
		hosts = append(hosts, n.address)
	}
	return "host=" + strings.Join(hosts, ",") + " port=5432 user=" + superuser +
		" dbname=postgres sslmode=disable target_session_attrs=read-write"
}

// Primary returns the node that holds the lock and is the primary, or nil.
func (c *Cluster) Primary() *Node {
	for _, n := range c.Nodes {
		if n.is("primary") {
			return n
		}
	}
	return nil
}

// AwaitPrimary waits until a node other than the given one is the primary.
func (c *Cluster) AwaitPrimary(t testing.TB, other *Node) (primary *Node) {
	t.Helper()
	c.eventually(t, "another node is the primary", func() bool {
		for _, n := range c.Nodes {
			if n != other && n.is("primary") {
				primary = n
			}
		}
		return primary != nil
	})
	return primary
}

// AwaitWhole waits until there are a primary, a synchronous standby and another standby, all caught up, so
// that the next failure loses nothing.
func (c *Cluster) AwaitWhole(t testing.TB) {
	t.Helper()
	c.eventually(t, "the cluster is whole", func() bool {
		primary := c.Primary()
		if primary == nil {
			return false
		}
		var said struct {
			Members []struct {
				Role, State   string
				Lag, Timeline any
			}
		}
		if !primary.ask("cluster", &said) {
			return false
		}
		roles, timelines := map[string]int{}, map[any]bool{}
		for _, m := range said.Members {
			if m.State == "running" || m.State == "streaming" {
				roles[m.Role]++
				timelines[m.Timeline] = true
			}
		}
		return roles["leader"] == 1 && roles["sync_standby"] == 1 && roles["replica"] == clusterSize-2 &&
			len(timelines) == 1
	})
}

// eventually is testenv.Eventually with a longer deadline, and the nodes' logs.
func (c *Cluster) eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testenv.Patience + 4*c.ttl); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting until %s; the nodes say:\n%s", what, c.Log())
		}
	}
}

// Log returns the end of the nodes' logs.
func (c *Cluster) Log() string {
	var all strings.Builder
	fmt.Fprintf(&all, "etcd: %s\n", end(c.etcd.String()))
	for _, n := range c.Nodes {
		fmt.Fprintf(&all, "%s: %s\n", n.Name, end(n.log.String()))
	}
	return all.String()
}

func end(text string) string { return text[max(0, len(text)-4<<10):] }

// is reports whether a node has a role, from the status of its health check.
func (n *Node) is(role string) bool { return n.ask(role, nil) }

// ask sends a request to the node's Patroni, and reports whether the status is 200.
func (n *Node) ask(path string, answer any) bool {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet,
		"http://"+n.address+":8008/"+path, nil)
	if err != nil {
		return false
	}
	response, err := n.cluster.client.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode == http.StatusOK &&
		(answer == nil || json.NewDecoder(response.Body).Decode(answer) == nil)
}
