package pgserver

// The nodes of a cluster, each like a separate machine: its process ids, network and mounts are its own, and
// end with its first process.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// Node is one server of a cluster, with its Patroni.
type Node struct {
	Name string

	cluster *Cluster
	address string
	config  string // file
	process *exec.Cmd
	ended   chan struct{}
	started int
	log     testenv.Log
}

func (c *Cluster) newNode(t *testing.T, number int) *Node {
	t.Helper()
	n := &Node{Name: fmt.Sprint("node", number), cluster: c, address: fmt.Sprintf("10.77.0.%d", 10+number)}
	folder := filepath.Join(c.folder, n.Name)
	n.config = filepath.Join(folder, "patroni.yml")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(n.settings(folder)) // JSON is also YAML
	if err == nil {
		err = os.WriteFile(n.config, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.own(t, folder)
	c.own(t, n.config)
	return n
}

// settings returns the settings of Patroni 3.0
// (https://patroni.readthedocs.io/en/latest/yaml_configuration.html). loop_wait and retry_timeout are the
// minimum: loop_wait plus twice retry_timeout must not exceed the ttl.
func (n *Node) settings(folder string) map[string]any {
	type m = map[string]any
	signIn := m{"username": superuser, "password": "unused"}
	return m{
		"scope": "sessions", "name": n.Name,
		"restapi": m{"listen": n.address + ":8008", "connect_address": n.address + ":8008"},
		"etcd":    m{"host": etcdAddress + ":2379"},
		"bootstrap": m{
			"dcs": m{
				"ttl": int(n.cluster.ttl / time.Second), "loop_wait": 1, "retry_timeout": 3,
				"synchronous_mode": true,
				"postgresql": m{"use_pg_rewind": true, "parameters": m{
					"fsync": "on", "synchronous_commit": "on", "wal_log_hints": "on",
					"max_connections": 100, "shared_buffers": "64MB",
					// For a node that was away, even before the next primary knows its slot.
					"wal_keep_size": "512MB",
				}},
			},
			"initdb": []any{m{"encoding": "UTF8"}, m{"locale": "C.UTF-8"}, "no-sync"},
		},
		"postgresql": m{
			"listen": n.address + ":5432", "connect_address": n.address + ":5432",
			"data_dir": filepath.Join(folder, "data"), "bin_dir": n.cluster.bin,
			"pgpass":         filepath.Join(folder, "pgpass"),
			"authentication": m{"superuser": signIn, "replication": signIn, "rewind": signIn},
			"pg_hba": []string{
				"local all all trust", "host all all 10.77.0.0/24 trust",
				"host replication all 10.77.0.0/24 trust",
			},
			"parameters": m{"unix_socket_directories": folder, "logging_collector": "off"},
		},
	}
}

// machine is the script of a node's first process: it waits for its interface, and executes Patroni.
const machine = `read -r _ && mount --make-rprivate / && mount -t proc proc /proc && ip link set lo up &&
	ip address add "$1/24" dev eth0 && ip link set eth0 up &&
	exec setpriv --reuid="$2" --regid="$3" --clear-groups --pdeathsig=KILL patroni "$4"`

// Begin starts a node that is not running.
func (n *Node) Begin(t testing.TB) {
	t.Helper()
	a := n.cluster.account
	//nolint:noctx // Kill ends it
	n.process = exec.Command("sh", "-c", machine, n.Name, n.address, fmt.Sprint(a.uid), fmt.Sprint(a.gid),
		n.config)
	n.process.Dir, n.process.Stdout, n.process.Stderr = n.cluster.folder, &n.log, &n.log
	n.process.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	ready, err := n.process.StdinPipe()
	if err == nil {
		err = n.process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	n.ended = make(chan struct{})
	go func(process *exec.Cmd, ended chan struct{}) {
		_ = process.Wait()
		close(ended)
	}(n.process, n.ended)
	n.started++
	ip(t, fmt.Sprintf("link add %s type veth peer name eth0 netns %d", n.link(), n.process.Process.Pid))
	ip(t, "link set "+n.link()+" master "+bridge+" up")
	if _, err := io.WriteString(ready, "go\n"); err != nil {
		t.Fatal(err)
	}
}

// link is the bridge's end of the node's veth pair. That of a killed node disappears a little later.
func (n *Node) link() string { return fmt.Sprintf("%s-%d", n.Name, n.started) }

// Kill ends the node immediately, like a power loss. Begin starts it again.
func (n *Node) Kill() {
	if n.process == nil || n.process.Process == nil {
		return
	}
	_ = n.process.Process.Kill()
	<-n.ended
}

// Cut disconnects the node from the network, and Join reconnects it.
func (n *Node) Cut(t testing.TB) { t.Helper(); ip(t, "link set "+n.link()+" down") }

// Join ends Cut.
func (n *Node) Join(t testing.TB) { t.Helper(); ip(t, "link set "+n.link()+" up") }

// Pause stops all processes of the node, like a machine that hangs.
func (n *Node) Pause(t testing.TB) { t.Helper(); n.signal(t, syscall.SIGSTOP, true) }

// PausePatroni stops Patroni but not PostgreSQL: another node takes over, and this one still answers.
func (n *Node) PausePatroni(t testing.TB) { t.Helper(); n.signal(t, syscall.SIGSTOP, false) }

// Continue ends Pause and PausePatroni.
func (n *Node) Continue(t testing.TB) { t.Helper(); n.signal(t, syscall.SIGCONT, true) }

func (n *Node) signal(t testing.TB, sent syscall.Signal, server bool) {
	t.Helper()
	// Twice, for processes started meanwhile by others that were not stopped yet.
	for range 2 {
		for _, pid := range descendants(n.process.Process.Pid) {
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			if !server && strings.HasPrefix(string(name), "postgres") {
				continue
			}
			if err := syscall.Kill(pid, sent); err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Fatalf("process %d: %v", pid, err)
			}
		}
	}
}

// descendants returns a process and all its descendants.
func descendants(pid int) []int {
	all := []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(children)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(all, descendants(child)...)
			}
		}
	}
	return all
}
