//go:build unix

package plugin_test

// Hosts and plugins that are killed or asked to end.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// When a host is killed, its plugin closes the backend and exits.
func TestHostIsKilled(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	host := testenv.Start(t, testenv.Self(t, "", modeEnv+"=host", folderEnv+"="+b.folder))
	said, _ := host.Said("plugin")
	pid, err := strconv.Atoi(said)
	if err != nil {
		t.Fatalf("no pid of the plugin from the host: %v\n%s", err, &host.Log)
	}
	host.Kill()
	testenv.Eventually(b.t, "the plugin closes its backend", func() bool {
		return b.marked(fmt.Sprintf("closed-%d", pid))
	})
	b.nothingLeft()
}

// After SIGTERM a plugin closes its backend, and the host starts a new plugin.
func TestPluginIsTerminated(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client := b.open(settings{})
	pid := client.PID()
	b.signal(pid, syscall.SIGTERM)
	testenv.Eventually(b.t, "the plugin closes its backend", func() bool {
		return b.marked(fmt.Sprintf("closed-%d", pid))
	})
	b.replaced(client, pid)
}

// Signals of the terminal are handled by the host only.
func TestTerminalSignals(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client := b.open(settings{})
	pid := client.PID()
	for _, sent := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP} {
		b.signal(pid, sent)
	}
	if err := client.Tickets().Create(t.Context(), session("s")); err != nil {
		t.Error(err)
	}
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("the plugin's process group is %d (%v), want its own, %d", group, err, pid)
	}
	if client.PID() != pid {
		t.Error("the plugin has died")
	}
}

// Calls in flight when a plugin dies, and calls made before the next one runs, wait instead of failing.
func TestPluginIsKilled(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client := b.open(settings{})
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	var mu sync.Mutex
	var calls int
	var failed []error
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				_, err := client.Tickets().Get(t.Context(), ticketstore.Key{1})
				mu.Lock()
				calls++
				if !errors.Is(err, ticketstore.ErrNotFound) {
					failed = append(failed, err)
				}
				mu.Unlock()
			}
		})
	}
	for range 3 {
		pid := client.PID()
		b.signal(pid, syscall.SIGKILL)
		b.replaced(client, pid)
	}
	cancel()
	callers.Wait()
	if calls == 0 || len(failed) > 0 {
		t.Errorf("%d of %d calls failed: %v", len(failed), calls, failed)
	}
	if err := client.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// If a plugin cannot be restarted, its host stays up: the first calls wait for CallTimeout, later ones fail
// immediately with the reason, until a start succeeds.
func TestPluginDoesNotStartAgain(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	path := b.folder + "/copy"
	if out, err := exec.CommandContext(t.Context(), "cp", os.Args[0], path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	config := b.config("plugin", settings{})
	config.Path, config.CallTimeout = path, time.Second
	client := b.start(config)
	if err := os.Rename(path, path+"-away"); err != nil {
		t.Fatal(err)
	}
	b.signal(client.PID(), syscall.SIGKILL)
	_, err := client.Tickets().Get(t.Context(), ticketstore.Key{1})
	if !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("the first call: got %v, want ErrUnavailable", err)
	}
	for range 1000 { // these would take 15 minutes if they waited
		if _, err = client.Tickets().Get(t.Context(), ticketstore.Key{1}); !errors.Is(err,
			ticketstore.ErrUnavailable) {
			t.Fatalf("a later call: got %v, want ErrUnavailable", err)
		}
	}
	_, described := client.Describe(t.Context())
	for call, err := range map[string]error{"get": err, "describe": described} {
		if !errors.Is(err, ticketstore.ErrUnavailable) || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("%s: got %v, want ErrUnavailable that names the missing binary", call, err)
		}
	}
	if client.PID() != 0 {
		t.Errorf("PID: got %d, want 0", client.PID())
	}
	if err := os.Rename(path+"-away", path); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(b.t, "a call is answered", func() bool {
		_, err := client.Tickets().Get(t.Context(), ticketstore.Key{1})
		return errors.Is(err, ticketstore.ErrNotFound)
	})
}

// Waiting calls do not fail after a single failed start.
func TestCallsWaitDuringAFailedStart(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	path := b.folder + "/copy"
	if out, err := exec.CommandContext(t.Context(), "cp", os.Args[0], path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	config := b.config("plugin", settings{})
	config.Path = path
	client := b.start(config)
	if err := os.Rename(path, path+"-away"); err != nil {
		t.Fatal(err)
	}
	b.signal(client.PID(), syscall.SIGKILL)
	answered := make(chan error, 1)
	go func() {
		_, err := client.Tickets().Get(context.Background(), ticketstore.Key{1})
		answered <- err
	}()
	testenv.Eventually(b.t, "a start fails", func() bool {
		return strings.Contains(b.log.String(), "does not start")
	})
	if err := os.Rename(path+"-away", path); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("the call that waited: got %v, want its answer", err)
	}
}

// A plugin that exits is replaced like one that is killed, each time.
func TestExitedPluginIsReplaced(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client := b.open(settings{})
	poison := session("s")
	poison.SubjectID = "exit"
	for range 3 {
		pid := client.PID()
		ctx, cancel := context.WithCancel(t.Context())
		var call sync.WaitGroup
		call.Go(func() { _ = client.Tickets().Create(ctx, poison) })
		testenv.Eventually(b.t, "the plugin has ended", func() bool { return client.PID() != pid })
		cancel() // before the next plugin is asked too
		call.Wait()
		if _, err := client.Tickets().Get(t.Context(), ticketstore.Key{1}); !errors.Is(err,
			ticketstore.ErrNotFound) {
			t.Errorf("a call after the exit: got %v, want ErrNotFound", err)
		}
	}
}

// A plugin whose backend fails at each first write is restarted with a growing backoff, and Describe returns
// the reason.
func TestBackendFailsRepeatedly(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client := b.open(settings{})
	poison := session("s")
	poison.SubjectID = "fail"
	said := func() string {
		d, err := client.Describe(t.Context())
		return fmt.Sprint(d.Trouble, err)
	}
	const reason = "the disk of the test fails"
	if text := said(); strings.Contains(text, reason) {
		t.Fatalf("Describe before: %s", text)
	}
	var outage time.Duration
	reported := false
	for range 7 {
		pid, began := client.PID(), time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var call sync.WaitGroup
		call.Go(func() { _ = client.Tickets().Create(ctx, poison) })
		testenv.Eventually(b.t, "the plugin has ended", func() bool { return client.PID() != pid })
		cancel() // before the next plugin is asked too
		call.Wait()
		// A short outage may end before Describe is called.
		reported = false
		testenv.Eventually(b.t, "another plugin runs", func() bool {
			reported = reported || strings.Contains(said(), reason)
			return client.PID() != 0
		})
		outage = time.Since(began)
	}
	if outage < 2*time.Second {
		t.Errorf("restarted within %s, want a growing backoff", outage)
	}
	if !reported {
		t.Error("Describe without a plugin did not return the reason")
	}
	if text := said(); !strings.Contains(text, "was restarted") {
		t.Errorf("Describe of the next plugin: %s, want the restart in it", text)
	}
	testenv.Eventually(b.t, "the error has ended", func() bool { return !strings.Contains(said(), reason) })
}

// A hung plugin is killed when its wrapper script ends: the next plugin needs the database.
func TestWrapperIsKilled(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	path := b.folder + "/wrapper"
	if err := os.WriteFile(path, []byte("#!/bin/sh\n\""+os.Args[0]+"\"\nexit $?\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	config := b.config("plugin", settings{})
	config.Path = path
	client := b.start(config)
	wrapper := client.PID()
	hung := b.wrapped(wrapper)
	b.freeze(hung)
	b.signal(wrapper, syscall.SIGKILL)
	// When its parent dies, the kernel continues a stopped process: it may answer until it is killed.
	testenv.Eventually(b.t, "the next plugin serves", func() bool {
		_, err := client.Tickets().Get(t.Context(), ticketstore.Key{1})
		if !errors.Is(err, ticketstore.ErrNotFound) {
			t.Fatalf("a call after the wrapper was killed: got %v, want ErrNotFound", err)
		}
		pid := client.PID()
		return pid != 0 && pid != wrapper
	})
	if !gone(hung) {
		t.Error("the hung plugin was not killed")
	}
}

// wrapped returns the process id of the only plugin that was started, by a wrapper.
func (b *fixture) wrapped(wrapper int) (pid int) {
	b.t.Helper()
	entries, _ := os.ReadDir(b.folder)
	for _, entry := range entries {
		if text, ok := strings.CutPrefix(entry.Name(), "pid-"); ok {
			pid, _ = strconv.Atoi(text)
		}
	}
	if pid == 0 || pid == wrapper {
		b.t.Fatalf("pid of the plugin %d, of its wrapper %d", pid, wrapper)
	}
	return pid
}

func TestCloseWaitsForCalls(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client := b.open(settings{})
	answered := make(chan error, 1)
	go func() {
		_, err := client.Tickets().Get(context.Background(), ticketstore.Key{0xff})
		answered <- err
	}()
	testenv.Eventually(b.t, "the call has arrived", func() bool { return b.marked("called") })
	closed := make(chan error, 1)
	go func() { closed <- client.Close() }()
	testenv.Eventually(b.t, "calls are refused", func() bool {
		_, err := client.Tickets().Get(t.Context(), ticketstore.Key{1})
		return errors.Is(err, ticketstore.ErrUnavailable)
	})
	mark(b.folder, "go on")
	if err := <-answered; !errors.Is(err, ticketstore.ErrConflict) {
		t.Errorf("the running call: got %v, want its answer", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
}

// A backend may take longer to close than go-plugin waits.
func TestSlowClose(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client := b.open(settings{SlowEnd: 3 * time.Second})
	pid := client.PID()
	if err := client.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if !b.marked(fmt.Sprintf("closed-%d", pid)) {
		t.Error("the plugin was killed before it closed its backend")
	}
}

// The backend of a start that is given up is closed, even if the caller gives up meanwhile.
func TestGivenUpBackendIsClosed(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		testenv.Eventually(t, "the backend is being closed", func() bool { return b.marked("closing") })
		cancel()
	}()
	client, err := plugin.Open(ctx, b.config("plugin", settings{
		Services: []string{"grants"}, SlowEnd: time.Second, // go-plugin kills after two
	}))
	if err == nil {
		_ = client.Close()
		t.Fatal("opened")
	}
	if closed, _ := filepath.Glob(filepath.Join(b.folder, "closed-*")); len(closed) != 1 {
		t.Errorf("the process was killed while it closed its backend: %v", err)
	}
}

// freeze stops a process and waits until each of its threads has stopped, where /proc shows that.
func (b *fixture) freeze(pid int) {
	b.t.Helper()
	b.signal(pid, syscall.SIGSTOP)
	testenv.Eventually(b.t, "all threads have stopped", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			if err != nil || !strings.Contains(string(stat), ") T ") {
				return false
			}
		}
		return true
	})
}

// A plugin that closes slowly after SIGTERM is replaced; calls wait for the next plugin.
func TestPluginEndedByASignalIsReplaced(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	config := b.config("plugin", settings{SlowEnd: 3 * time.Second})
	config.HealthTimeout = plugin.DefaultHealthTimeout
	client := b.start(config)
	pid := client.PID()
	b.signal(pid, syscall.SIGTERM)
	started, failed := time.Now(), 0
	var last error
	for client.PID() == pid || client.PID() == 0 {
		if time.Since(started) > patience {
			t.Fatalf("not replaced within %s", patience)
		}
		_, err := client.Tickets().Get(t.Context(), ticketstore.Key{1})
		if !errors.Is(err, ticketstore.ErrNotFound) {
			failed++
			last = err
		}
	}
	if failed > 0 {
		t.Errorf("%d calls failed within %s, the last with: %v", failed, time.Since(started), last)
	}
}

// A hung plugin is replaced, and the next plugin answers the calls made meanwhile.
func TestHungPluginIsReplaced(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	config := b.config("plugin", settings{})
	config.HealthTimeout = plugin.DefaultHealthTimeout
	client := b.start(config)
	hung := client.PID()
	b.freeze(hung)
	if _, err := client.Tickets().Get(t.Context(), ticketstore.Key{1}); !errors.Is(err,
		ticketstore.ErrNotFound) {
		t.Errorf("a call to the hung plugin: got %v, want ErrNotFound", err)
	}
	b.replaced(client, hung)
	if !strings.Contains(b.log.String(), "hangs") {
		t.Error("the log does not name the hung plugin")
	}
}

// If the database does not answer, a plugin is kept when hosts share the database, since a new process could
// not reach it either. The outage and its end are each logged once. A plugin with its own database is
// replaced.
func TestDatabaseUnavailable(t *testing.T) {
	t.Parallel()
	for name, shared := range map[string]bool{"of several hosts": true, "of its own": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFixture(t)
			config := b.config("plugin", settings{Shared: shared})
			if !shared {
				config.HealthTimeout = plugin.DefaultHealthTimeout
			}
			client := b.start(config)
			pid := client.PID()
			mark(b.folder, "away")
			if !shared {
				testenv.Eventually(t, "the plugin has ended", func() bool { return client.PID() != pid })
				if err := os.Remove(b.folder + "/away"); err != nil {
					t.Fatal(err)
				}
				b.replaced(client, pid)
				return
			}
			testenv.Eventually(t, "it was checked again", func() bool { return b.marked("asked-3") })
			if err := os.Remove(b.folder + "/away"); err != nil {
				t.Fatal(err)
			}
			const gone, back = "the session plugin's database does not answer", "database answers again"
			testenv.Eventually(t, "the end of the outage is logged", func() bool {
				return strings.Contains(b.log.String(), back)
			})
			if n := strings.Count(b.log.String(), gone); n != 1 || client.PID() != pid {
				t.Errorf("the outage was logged %d times, want once; process %d is now %d", n,
					pid, client.PID())
			}
		})
	}
}

// A hung plugin does not block its host.
func TestPluginHangs(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	config := b.config("plugin", settings{})
	config.CloseTimeout, config.CallTimeout, config.HealthTimeout = 500*time.Millisecond,
		100*time.Millisecond, time.Hour
	client := b.start(config)
	b.freeze(client.PID())
	if _, err := client.Tickets().Get(t.Context(), ticketstore.Key{1}); !errors.Is(err,
		ticketstore.ErrUnavailable) {
		t.Errorf("get: got %v, want ErrUnavailable", err)
	}
	if err := client.Close(); err == nil {
		t.Error("close: got no error for a killed plugin")
	}
}

// The host logs a panic of the plugin and continues.
func TestPluginPanics(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client := b.open(settings{})
	poison := session("s")
	poison.SubjectID = "panic"
	pid := client.PID()
	ctx, cancel := context.WithCancel(t.Context())
	var call sync.WaitGroup
	call.Go(func() {
		if err := client.Tickets().Create(ctx, poison); err == nil {
			t.Error("got no error from a panic of the plugin")
		}
	})
	testenv.Eventually(b.t, "the panic is in the log", func() bool {
		return strings.Contains(b.log.String(), "panic: requested")
	})
	cancel()
	call.Wait()
	b.replaced(client, pid)
}
