//go:build linux

package footprint

// The measured host, in its own cgroup.

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// host is a host process and its plugin.
type host struct {
	t       *testing.T
	process *testenv.Process
	input   io.WriteCloser
	temp    string
	plugin  int
}

// start starts a host, in a cgroup unless that is nil, and waits until its plugin has opened the store.
func start(t *testing.T, todo task, group *cgroup) *host {
	t.Helper()
	todo.Plugin = filepath.Join(built, cmp.Or(todo.Plugin, badgerPlugin))
	if other := os.Getenv(pluginEnv); other != "" {
		todo.Plugin = other
	}
	raw, err := json.Marshal(todo)
	if err != nil {
		t.Fatal(err)
	}
	temp, err := os.MkdirTemp("", "fp") // short: a socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, temp: temp}
	// as README advises
	command := testenv.Self(t, "", taskEnv+"="+string(raw), "TMPDIR="+temp, "GOMEMLIMIT=96MiB")
	if h.input, err = command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	h.process = testenv.Start(t, command)
	t.Cleanup(h.kill)
	if group != nil {
		group.add(t, h.process.Process.Pid)
	}
	_, _ = io.WriteString(h.input, "begin\n")
	h.plugin = h.said("plugin")
	return h
}

// said waits for a line of output and returns the plugin's process id in it.
func (h *host) said(what string) int {
	h.t.Helper()
	id, said := h.process.Said(what)
	if !said {
		h.t.Fatalf("before it printed %q: %v\n%s", what, h.process.Wait(), &h.process.Log)
	}
	pid, _ := strconv.Atoi(id)
	return pid
}

// done waits until the task is done and returns the plugin's peak and final anonymous memory in MiB.
func (h *host) done() (most, last int) {
	h.t.Helper()
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			most = max(most, anonymous(h.plugin))
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	pid := h.said("done")
	last = anonymous(h.plugin)
	close(stop)
	watching.Wait()
	if pid != h.plugin {
		h.t.Errorf("the plugin was process %d and is %d now: it was restarted\n%s", h.plugin, pid,
			h.process.Log.String())
	}
	return most >> 10, last >> 10
}

// kill kills host and plugin and waits until they have ended.
func (h *host) kill() {
	h.process.Kill()
	if h.plugin > 0 {
		_ = syscall.Kill(h.plugin, syscall.SIGKILL)
	}
	testenv.Eventually(h.t, "the plugin is gone", func() bool {
		return h.plugin == 0 || anonymous(h.plugin) == 0
	})
	h.plugin = 0
	_ = os.RemoveAll(h.temp)
}

// anonymous returns a process's anonymous memory in KiB, or 0 if it has ended.
func anonymous(pid int) int {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	_, after, found := strings.Cut(string(status), "RssAnon:")
	if !found {
		return 0
	}
	kib, _ := strconv.Atoi(strings.Fields(after)[0])
	return kib
}

// cgroup is a control group with a memory limit.
type cgroup struct{ path, limit string }

// newCgroup creates a control group of version 2, or of version 1 if that controls memory.
func newCgroup(t *testing.T, bytes int) *cgroup {
	t.Helper()
	g := &cgroup{path: "/sys/fs/cgroup", limit: "memory.max"}
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.limit_in_bytes"); err == nil {
		g = &cgroup{path: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes"}
	}
	parent := g.path
	g.path = filepath.Join(parent, fmt.Sprintf("fosite-sessions-%d", os.Getpid()))
	err := os.Mkdir(g.path, 0o750)
	if err == nil {
		t.Cleanup(func() {
			// The kernel releases a process shortly after its end.
			testenv.Eventually(t, "the control group is gone",
				func() bool { return os.Remove(g.path) == nil })
		})
		if g.limit == "memory.max" { // version 2: controlled by the parent
			_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+memory"), 0o600)
		}
		err = os.WriteFile(filepath.Join(g.path, g.limit), []byte(strconv.Itoa(bytes)), 0o600)
	}
	if err != nil {
		missing(t,
			"cannot create a cgroup with a limit, which requires root and a memory controller: "+
				err.Error())
	}
	return g
}

// missing skips the test; in CI it fails it.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func (g *cgroup) add(t *testing.T, pid int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(g.path, "cgroup.procs"), []byte(strconv.Itoa(pid)),
		0o600); err != nil {
		t.Fatal(err)
	}
}

// killed returns the number of processes killed by the OOM killer.
func (g *cgroup) killed(t *testing.T) (n int) {
	t.Helper()
	file := "memory.events"
	if g.limit != "memory.max" {
		file = "memory.oom_control"
	}
	text, err := os.ReadFile(filepath.Join(g.path, file))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "oom_kill ")
	if !found {
		t.Fatalf("%s does not say how many were killed", file)
	}
	n, err = strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
