//go:build unix

package plugin_test

// Tests of Open: what it starts, and the errors of failed starts.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const patience = testenv.Patience

// fixture is a test's folder with the plugin's socket and marks of its events.
type fixture struct {
	t      testing.TB
	folder string
	log    testenv.Log
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	folder, err := os.MkdirTemp("", "sp") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	b := &fixture{t: t, folder: folder}
	t.Cleanup(func() {
		defer func() { // even if the check fails
			_ = os.RemoveAll(folder)
			if t.Failed() {
				t.Logf("log of host and plugin:\n%s", b.log.String())
			}
		}()
		b.nothingLeft()
	})
	return b
}

func (b *fixture) config(mode string, s settings) plugin.Config {
	return plugin.Config{
		Path: os.Args[0], Env: []string{modeEnv + "=" + mode, folderEnv + "=" + b.folder}, Settings: s,
		SocketDir: b.folder,
		// Long timeouts for slow machines; tests of timeouts set their own.
		CallTimeout: patience, HealthTimeout: patience,
		Logger: slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func (b *fixture) open(s settings) *plugin.Client {
	b.t.Helper()
	return b.start(b.config("plugin", s))
}

func (b *fixture) start(config plugin.Config) *plugin.Client {
	b.t.Helper()
	client, err := plugin.Open(b.t.Context(), config)
	if err != nil {
		b.t.Fatalf("open: %v", err)
	}
	b.t.Cleanup(func() { _ = client.Close() })
	return client
}

// marked reports whether a plugin left the mark.
func (b *fixture) marked(name string) bool {
	_, err := os.Stat(filepath.Join(b.folder, name))
	return err == nil
}

// nothingLeft fails the test if a process started here is running, or if a socket or its folder exists.
func (b *fixture) nothingLeft() {
	b.t.Helper()
	entries, err := os.ReadDir(b.folder)
	if err != nil {
		b.t.Error(err)
	}
	for _, entry := range entries {
		if pid, ok := strings.CutPrefix(entry.Name(), "pid-"); ok {
			n, _ := strconv.Atoi(pid)
			testenv.Eventually(b.t, fmt.Sprintf("process %d ends", n), func() bool { return gone(n) })
		}
		if entry.IsDir() || entry.Type()&fs.ModeSocket != 0 {
			testenv.Eventually(b.t, entry.Name()+" is removed", func() bool {
				return !b.marked(entry.Name())
			})
		}
	}
}

// gone reports whether a process has ended. An orphan stays a zombie if process 1 does not reap.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, found := strings.Cut(string(stat), ") ")
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)) // the main thread may end first
	return err == nil && found && strings.HasPrefix(state, "Z") && len(threads) <= 1
}

// signal sends a signal to a process. Process id 0 would signal our own group.
func (b *fixture) signal(pid int, sent syscall.Signal) {
	b.t.Helper()
	if pid <= 0 {
		b.t.Fatalf("no process to send %s to", sent)
	}
	if err := syscall.Kill(pid, sent); err != nil {
		b.t.Fatalf("sending %s: %v", sent, err)
	}
}

// replaced waits until a plugin with a different pid runs.
func (b *fixture) replaced(client *plugin.Client, pid int) {
	b.t.Helper()
	testenv.Eventually(b.t, "another plugin runs", func() bool {
		return client.PID() != 0 && client.PID() != pid
	})
}

// A process that hangs before its handshake has opened nothing, so it is replaced.
func TestProcessWithoutHandshakeIsReplaced(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	config := b.config("no handshake at first", settings{})
	config.StartTimeout = patience / 4 // a third of it for the first process
	client := b.start(config)
	if pids, _ := filepath.Glob(filepath.Join(b.folder, "pid-*")); len(pids) != 2 || client.PID() == 0 {
		t.Errorf("serves as process %d after the starts %v, want two", client.PID(), pids)
	}
	if !strings.Contains(b.log.String(), "session plugin is started again") {
		t.Error("the second start is not in the log")
	}
}

func session(id string) *ticketstore.Session {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	return &ticketstore.Session{
		Key: ticketstore.KeyOf(id), SessionID: id, SubjectID: "42", Issuer: "https://op.example",
		AuthTime: now, Created: now, Renewed: now, Expires: now.Add(time.Hour),
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client := b.open(settings{})
	ctx := t.Context()
	if d, err := client.Describe(ctx); err != nil || d.Name != "memory" {
		t.Errorf("describe: got %+v, %v", d, err)
	}
	want := session("s")
	if err := client.Tickets().Create(ctx, want); err != nil {
		t.Fatalf("create: %v", err)
	}
	if got, err := client.Tickets().Get(ctx, want.Key); err != nil || got.SessionID != "s" {
		t.Errorf("get: got %v, %v", got, err)
	}
	if _, err := client.Tickets().Get(ctx, ticketstore.Key{1}); !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("get of an unknown key: got %v, want ErrNotFound", err)
	}
	pid := client.PID()
	if pid <= 0 || pid == os.Getpid() {
		t.Errorf("PID: got %d", pid)
	}
	b.socketIsPrivate()
	// Output that go-plugin forwards over its own stream is truncated at the end.
	for _, line := range []string{
		`level=WARN msg="memory backend is open"`, `msg="a line to go-plugin's standard error"`,
		"sha256=" + checksum(t, os.Args[0]),
	} {
		testenv.Eventually(b.t, "the log has "+line, func() bool {
			return strings.Contains(b.log.String(), line)
		})
	}

	if err := client.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if !b.marked(fmt.Sprintf("closed-%d", pid)) {
		t.Error("the plugin did not close its backend")
	}
	if err := client.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
	if _, err := client.Tickets().Get(ctx, want.Key); !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("get after close: got %v, want ErrUnavailable", err)
	}
	if got := client.PID(); got != 0 {
		t.Errorf("PID after close: got %d, want 0", got)
	}
}

func (b *fixture) socketIsPrivate() {
	b.t.Helper()
	sockets := 0
	err := filepath.WalkDir(b.folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSocket == 0 {
			return err
		}
		sockets++
		info, err := os.Stat(filepath.Dir(path))
		if err == nil && info.Mode().Perm() != 0o700 {
			b.t.Errorf("the socket's folder has mode %o, want 700", info.Mode().Perm())
		}
		return err
	})
	if err != nil || sockets != 1 {
		b.t.Errorf("got %d sockets (%v), want 1", sockets, err)
	}
}

func checksum(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Each error names the fault, its place and the remedy, and no process or socket remains.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	script := func(b *fixture, mode os.FileMode, text string) string {
		path := filepath.Join(b.folder, "script")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			b.t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		mode     string
		settings settings
		change   func(*fixture, *plugin.Config)
		want     string
	}{
		"no path": {
			"", settings{}, func(_ *fixture, c *plugin.Config) { c.Path = "" }, "Path: is empty",
		},
		"no such file": {
			"", settings{}, func(_ *fixture, c *plugin.Config) { c.Path = "/no/such/file" },
			"/no/such/file: there is no such file",
		},
		"no such program": {
			"", settings{}, func(_ *fixture, c *plugin.Config) { c.Path = "no-such-program" },
			"no such program in PATH",
		},
		"folder": {
			"", settings{}, func(b *fixture, c *plugin.Config) { c.Path = b.folder }, "it is a folder",
		},
		"not executable": {
			"", settings{}, func(b *fixture, c *plugin.Config) { c.Path = script(b, 0o600, "#!/bin/sh\n") },
			"may not be executed",
		},
		"no binary": {
			"", settings{},
			func(b *fixture, c *plugin.Config) { c.Path = script(b, 0o700, "\x00\x01\x02\x03") },
			"cannot be started",
		},
		"script that keeps running": {"", settings{}, func(b *fixture, c *plugin.Config) {
			c.Path = script(b, 0o700, "#!/bin/sh\necho $$ > "+b.folder+"/pid-$$\necho hello\nsleep 600\n")
		}, `wrote "hello" instead of a handshake`},
		"script that forks": {"", settings{}, func(b *fixture, c *plugin.Config) {
			c.Path = script(b, 0o700, "#!/bin/sh\nsleep 600 &\necho $! > "+b.folder+"/pid-$!\n")
		}, "ended before its handshake"},
		"bad checksum": {
			"", settings{}, func(_ *fixture, c *plugin.Config) { c.Checksum = "abc" },
			"Checksum: is not a SHA-256",
		},
		"wrong checksum": {"plugin", settings{}, func(_ *fixture, c *plugin.Config) {
			c.Checksum = strings.Repeat("0", 64)
		}, "it is not the binary that was pinned, so it was not started"},
		"bad settings": {
			"", settings{}, func(_ *fixture, c *plugin.Config) { c.Settings = make(chan int) },
			"Settings: cannot be written as JSON",
		},
		"negative timeout": {
			"", settings{}, func(_ *fixture, c *plugin.Config) { c.CallTimeout = -1 },
			"CallTimeout: is negative",
		},
		"no plugin": {
			"chatter", settings{}, nil, `wrote "usage: something [options]" instead of a handshake`,
		},
		"ends at once": {
			"exit", settings{}, nil,
			`ended before its handshake (exit status 3): it is no session plugin; its last output: ` +
				`"error while loading`,
		},
		"another plugin": {"another plugin", settings{}, nil, "This binary is a plugin"},
		"other version": {
			"version 1", settings{}, nil, `speaks version "1" of the plugin protocol, this host version 2`,
		},
		"no answer": {"no server", settings{}, nil, ""},
		"no handshake": {"no handshake", settings{}, func(_ *fixture, c *plugin.Config) {
			c.StartTimeout = time.Second / 2
		}, "was not ready within 500ms (before its handshake, "},
		"settings that hang": {"plugin", settings{Hang: true}, func(_ *fixture, c *plugin.Config) {
			c.StartTimeout = 10 * time.Second // a third of it for the handshake, also on a busy machine
		}, "was not ready within 10s (after its handshake, "},
		"unknown setting": {
			"plugin", settings{Field: "paht"}, nil, "invalid paht: is not a setting of the memory backend",
		},
		"backend fails": {
			"plugin", settings{Fail: "folder /data is in use"}, nil, "folder /data is in use",
		},
		"lacks a service": {
			"plugin", settings{Services: []string{"grants"}}, nil,
			"does not serve tickets, logout, properties",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFixture(t)
			config := b.config(test.mode, test.settings)
			if test.change != nil {
				test.change(b, &config)
			}
			client, err := plugin.Open(t.Context(), config)
			if err == nil {
				_ = client.Close()
				t.Fatal("opened")
			}
			t.Log(err)
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want %q in it", err, test.want)
			}
			if errors.Is(err, ticketstore.ErrNotFound) {
				t.Errorf("%v must not be ErrNotFound", err)
			}
			var field *ticketstore.FieldError
			if test.settings.Field != "" && (!errors.As(err, &field) || field.Field != test.settings.Field) {
				t.Errorf("got %v, want a FieldError of %s", err, test.settings.Field)
			}
			b.nothingLeft()
		})
	}
}

func TestOpenIsCanceled(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"no handshake", "no server"} {
		b := newFixture(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if client, err := plugin.Open(ctx, b.config(mode, settings{})); err == nil {
			_ = client.Close()
			t.Errorf("%s: opened", mode)
		} else if mode == "no handshake" && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want Canceled", mode, err)
		}
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	config := b.config("plugin", settings{})
	config.Checksum = strings.ToUpper(checksum(t, os.Args[0]))
	client, err := plugin.Open(t.Context(), config)
	if err != nil {
		t.Fatalf("the right checksum: %v", err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

// A line on which go-plugin's parser panics is logged like any other.
func TestMalformedLogLine(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client, err := plugin.Open(t.Context(), b.config("panics", settings{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if log := b.log.String(); !strings.Contains(log, "msg=5") {
		t.Errorf("the line is not in the log:\n%s", log)
	}
}

func TestStartWithoutHost(t *testing.T) {
	t.Parallel()
	command := testenv.Self(t, "", modeEnv+"=plugin")
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("got %v, want exit status 2", err)
	}
	if !strings.Contains(string(out), "sessions of an authorization server, which starts it") {
		t.Errorf("output %q", out)
	}
}
