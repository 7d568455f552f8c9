//go:build unix

package plugin_test

// Tests of Open: what it starts, and how it refuses what it cannot start.

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

// bench is a test's folder: the plugin's socket and the marks of what happened to the plugin.
type bench struct {
	t      testing.TB
	folder string
	log    testenv.Log
}

func newBench(t testing.TB) *bench {
	t.Helper()
	folder, err := os.MkdirTemp("", "sp") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, folder: folder}
	t.Cleanup(func() {
		defer func() { // even if something is left
			_ = os.RemoveAll(folder)
			if t.Failed() {
				t.Logf("log of host and plugin:\n%s", b.log.String())
			}
		}()
		b.nothingLeft()
	})
	return b
}

func (b *bench) config(mode string, s settings) plugin.Config {
	return plugin.Config{
		Path: os.Args[0], Env: []string{modeEnv + "=" + mode, folderEnv + "=" + b.folder}, Settings: s,
		SocketDir: b.folder,
		// Long timeouts for slow machines; tests of timeouts set their own.
		CallTimeout: patience, HealthTimeout: patience,
		Logger: slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func (b *bench) open(s settings) *plugin.Client {
	b.t.Helper()
	return b.start(b.config("plugin", s))
}

func (b *bench) start(config plugin.Config) *plugin.Client {
	b.t.Helper()
	client, err := plugin.Open(b.t.Context(), config)
	if err != nil {
		b.t.Fatalf("open: %v", err)
	}
	b.t.Cleanup(func() { _ = client.Close() })
	return client
}

// marked reports whether a plugin left the mark.
func (b *bench) marked(name string) bool {
	_, err := os.Stat(filepath.Join(b.folder, name))
	return err == nil
}

// nothingLeft fails the test if a process that ran here still lives, or if a socket or its folder remains.
func (b *bench) nothingLeft() {
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
func (b *bench) signal(pid int, sent syscall.Signal) {
	b.t.Helper()
	if pid <= 0 {
		b.t.Fatalf("no process to send %s to", sent)
	}
	if err := syscall.Kill(pid, sent); err != nil {
		b.t.Fatalf("sending %s: %v", sent, err)
	}
}

// replaced waits until a plugin with a different pid runs.
func (b *bench) replaced(client *plugin.Client, pid int) {
	b.t.Helper()
	testenv.Eventually(b.t, "another plugin runs", func() bool {
		return client.PID() != 0 && client.PID() != pid
	})
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
	b := newBench(t)
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
		t.Errorf("get of what is not there: got %v, want ErrNotFound", err)
	}
	pid := client.PID()
	if pid <= 0 || pid == os.Getpid() {
		t.Errorf("PID: got %d", pid)
	}
	b.socketIsPrivate()
	// Output that go-plugin forwards over its own stream is cut off at the end.
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

func (b *bench) socketIsPrivate() {
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

// TestOpenFails: each error names the fault, its place and the remedy, and nothing is left behind.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	script := func(b *bench, mode os.FileMode, text string) string {
		path := filepath.Join(b.folder, "script")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			b.t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		mode     string
		settings settings
		change   func(*bench, *plugin.Config)
		want     string
	}{
		"no path": {
			"", settings{}, func(_ *bench, c *plugin.Config) { c.Path = "" }, "Path: is empty",
		},
		"no such file": {
			"", settings{}, func(_ *bench, c *plugin.Config) { c.Path = "/no/such/file" },
			"/no/such/file: there is no such file",
		},
		"no such program": {
			"", settings{}, func(_ *bench, c *plugin.Config) { c.Path = "no-such-program" },
			"no such program in PATH",
		},
		"folder": {
			"", settings{}, func(b *bench, c *plugin.Config) { c.Path = b.folder }, "it is a folder",
		},
		"not executable": {
			"", settings{}, func(b *bench, c *plugin.Config) { c.Path = script(b, 0o600, "#!/bin/sh\n") },
			"may not be executed",
		},
		"no binary": {
			"", settings{},
			func(b *bench, c *plugin.Config) { c.Path = script(b, 0o700, "\x00\x01\x02\x03") },
			"cannot be started",
		},
		"script that stays": {"", settings{}, func(b *bench, c *plugin.Config) {
			c.Path = script(b, 0o700, "#!/bin/sh\necho $$ > "+b.folder+"/pid-$$\necho hello\nsleep 600\n")
		}, `wrote "hello" instead of a handshake`},
		"script that forks": {"", settings{}, func(b *bench, c *plugin.Config) {
			c.Path = script(b, 0o700, "#!/bin/sh\nsleep 600 &\necho $! > "+b.folder+"/pid-$!\n")
		}, "ended before its handshake"},
		"bad checksum": {
			"", settings{}, func(_ *bench, c *plugin.Config) { c.Checksum = "abc" },
			"Checksum: is not a SHA-256",
		},
		"wrong checksum": {"plugin", settings{}, func(_ *bench, c *plugin.Config) {
			c.Checksum = strings.Repeat("0", 64)
		}, "it is not the binary that was pinned, so it was not started"},
		"bad settings": {
			"", settings{}, func(_ *bench, c *plugin.Config) { c.Settings = make(chan int) },
			"Settings: cannot be written as JSON",
		},
		"negative timeout": {
			"", settings{}, func(_ *bench, c *plugin.Config) { c.CallTimeout = -1 },
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
		"no answer": {"deaf", settings{}, nil, ""},
		"silence": {"silence", settings{}, func(_ *bench, c *plugin.Config) {
			c.StartTimeout = time.Second / 2
		}, "was not ready within 500ms"},
		"settings that hang": {"plugin", settings{Hang: true}, func(_ *bench, c *plugin.Config) {
			c.StartTimeout = time.Second
		}, "was not ready within 1s"},
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
			b := newBench(t)
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
				t.Errorf("got %q, want it to say %q", err, test.want)
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
	for _, mode := range []string{"silence", "deaf"} {
		b := newBench(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if client, err := plugin.Open(ctx, b.config(mode, settings{})); err == nil {
			_ = client.Close()
			t.Errorf("%s: opened", mode)
		} else if mode == "silence" && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want Canceled", mode, err)
		}
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	b := newBench(t)
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

// A line that panics go-plugin's own parser is logged like any other.
func TestMalformedLogLine(t *testing.T) {
	t.Parallel()
	b := newBench(t)
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
		t.Errorf("it says %q", out)
	}
}
