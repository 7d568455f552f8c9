//go:build linux

package plugin_test

// Errors of failed starts.

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// If a start fails because of the environment, the error names that cause, not the plugin.
func TestStartErrorsNameTheCause(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *fixture, c *plugin.Config)
		want   []string
	}{
		"socket folder missing": {
			func(b *fixture, c *plugin.Config) { c.SocketDir = b.folder + "/nowhere" },
			[]string{"/nowhere from SocketDir, does not exist: create it", "TMPDIR"},
		},
		"socket folder is a file": {
			func(b *fixture, c *plugin.Config) {
				mark(b.folder, "file")
				c.SocketDir = b.folder + "/file"
			},
			[]string{"/file from SocketDir, is no folder"},
		},
		"socket folder read-only": {
			func(b *fixture, c *plugin.Config) { c.SocketDir = b.mount(syscall.MS_RDONLY) },
			[]string{"SocketDir, is on a read-only file system"},
		},
		"socket folder too long": {
			func(b *fixture, c *plugin.Config) {
				c.SocketDir = filepath.Join(b.mount(0), strings.Repeat("x", 80))
				if err := os.Mkdir(c.SocketDir, 0o700); err != nil {
					b.t.Fatal(err)
				}
			},
			[]string{"SocketDir, has ", "bytes, and a unix socket allows for 69: make it shorter"},
		},
		"binary on a noexec mount": {
			func(b *fixture, c *plugin.Config) {
				c.Path = filepath.Join(b.mount(syscall.MS_NOEXEC), "plugin")
				b.run("cp", os.Args[0], c.Path)
			},
			[]string{"mounted noexec"},
		},
		"missing interpreter": {
			func(b *fixture, c *plugin.Config) { c.Path = b.script("#! /nowhere/python3 -u\n") },
			[]string{`its interpreter, "/nowhere/python3", does not exist: install it`},
		},
		"script with Windows line ends": {
			func(b *fixture, c *plugin.Config) { c.Path = b.script("#!/bin/sh\r\nexit 0\r\n") },
			[]string{`its interpreter, "/bin/sh\r", does not exist`, "correct the first line"},
		},
		"interpreter without execute permission": {
			func(b *fixture, c *plugin.Config) { c.Path = b.script("#!/etc/passwd\n") },
			[]string{`its interpreter, "/etc/passwd", may not be executed`},
		},
		"interpreter that env does not find": {
			func(b *fixture, c *plugin.Config) { c.Path = b.script("#!/usr/bin/env no-such-interpreter\n") },
			[]string{
				"exit status 127", "a program or library that it needs is missing", "no-such-interpreter",
			},
		},
		"missing dynamic loader": {
			func(b *fixture,
				c *plugin.Config) {
				c.Path = b.compile("-Wl,--dynamic-linker=/nowhere/ld-musl.so.1")
			},
			[]string{
				`its dynamic loader, "/nowhere/ld-musl.so.1", does not exist: install the C library`,
				"CGO_ENABLED=0",
			},
		},
		"missing library": {
			func(b *fixture, c *plugin.Config) {
				library := b.folder + "/libneeded.so"
				b.run("gcc", "-shared", "-o", library, b.source())
				c.Path = b.compile("-Wl,--no-as-needed", "-L"+b.folder, "-lneeded")
				if err := os.Remove(library); err != nil {
					b.t.Fatal(err)
				}
			},
			[]string{"exit status 127", "a program or library that it needs is missing", "libneeded.so"},
		},
		"killed before its handshake": {
			func(b *fixture, c *plugin.Config) { c.Path = b.script("#!/bin/sh\nkill -9 $$\n") },
			[]string{"ended before its handshake (signal: killed): a signal ended it"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFixture(t)
			config := b.config("plugin", settings{})
			c.change(b, &config)
			client, err := plugin.Open(t.Context(), config)
			if err == nil {
				_ = client.Close()
				t.Fatal("opened")
			}
			t.Log(err)
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

// The default is TMPDIR, which the error names.
func TestStartErrorNamesTMPDIR(t *testing.T) {
	b := newFixture(t)
	config := b.config("plugin", settings{})
	config.SocketDir = ""
	t.Setenv("TMPDIR", b.folder+"/nowhere")
	client, err := plugin.Open(t.Context(), config)
	if err == nil {
		_ = client.Close()
	}
	const want = "/nowhere from TMPDIR, does not exist: create it, or set SocketDir"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want it to say %q", err, want)
	}
}

// A socket needs no execute permission.
func TestSocketOnANoexecMount(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	config := b.config("plugin", settings{})
	config.SocketDir = b.mount(syscall.MS_NOEXEC)
	if err := b.start(config).Close(); err != nil {
		t.Error(err)
	}
}

// A socket fits into the longest accepted folder.
func TestLongestSocketDir(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	config := b.config("plugin", settings{})
	folder := b.mount(0)
	config.SocketDir = filepath.Join(folder, strings.Repeat("x", 69-len(folder)-1))
	if err := os.Mkdir(config.SocketDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.start(config).Close(); err != nil {
		t.Error(err)
	}
}

// mount mounts a separate file system.
func (b *fixture) mount(flags uintptr) string {
	b.t.Helper()
	folder, err := os.MkdirTemp("", "sm")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = os.RemoveAll(folder) })
	testenv.Tmpfs(b.t, folder, flags, "size=64m")
	return folder
}

func (b *fixture) script(text string) string {
	b.t.Helper()
	path := filepath.Join(b.folder, "script")
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// source is a program in C, and a library.
func (b *fixture) source() string {
	b.t.Helper()
	path := filepath.Join(b.folder, "main.c")
	if err := os.WriteFile(path, []byte("int main(void) { return 0; }\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *fixture) compile(flags ...string) string {
	b.t.Helper()
	path := filepath.Join(b.folder, "program")
	b.run("gcc", append([]string{"-o", path, b.source()}, flags...)...)
	return path
}

func (b *fixture) run(name string, args ...string) {
	b.t.Helper()
	if _, err := exec.LookPath(name); err != nil && os.Getenv("CI") == "" {
		b.t.Skip(err)
	}
	if output, err := exec.CommandContext(b.t.Context(), name, args...).CombinedOutput(); err != nil {
		b.t.Fatalf("%s: %v\n%s", name, err, output)
	}
}

// A plugin whose wrapper was killed exits by itself and stays a zombie if it is not reaped. The next start
// must not wait for it.
func TestZombieDoesNotDelayStart(t *testing.T) {
	t.Parallel()
	// Orphans become our children and we reap none, like process 1 of many containers.
	const setChildSubreaper = 36 // PR_SET_CHILD_SUBREAPER
	reaper := func(on uintptr) {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, on, 0); errno != 0 {
			t.Error(errno)
		}
	}
	reaper(1)
	t.Cleanup(func() { reaper(0) })
	b := newFixture(t)
	config := b.config("plugin", settings{})
	config.Path = b.script("#!/bin/sh\n\"" + os.Args[0] + "\"\nexit $?\n")
	client := b.start(config)
	wrapper := client.PID()
	child := b.wrapped(wrapper)
	b.signal(wrapper, syscall.SIGKILL)
	b.replaced(client, wrapper)
	if strings.Contains(b.log.String(), "left processes behind") {
		t.Error("the start waited for the zombie")
	}
	if reaped, err := syscall.Wait4(child, nil, syscall.WNOHANG, nil); reaped != child {
		t.Errorf("the plugin is not our zombie: %d, %v", reaped, err)
	}
}
