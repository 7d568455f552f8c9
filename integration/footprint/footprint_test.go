//go:build linux

package footprint

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// Environment variables of the long forms (make memory): the number of sessions, and the memory settings,
// "default" or MiB, separated by commas.
const (
	sessionsEnv = "FOOTPRINT_SESSIONS"
	memoryEnv   = "FOOTPRINT_MEMORY"
)

func number(t *testing.T, name string, standard int) int {
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("%s=%q is not a positive number", name, text)
	}
	return n
}

// Host and plugin together stay within a cgroup's 256 MiB while users sign in under load, after a kill, and
// while all sessions are read and ended.
func TestServesWithinACgroup(t *testing.T) {
	testenv.SkipRace(t, "it uses several times the memory")
	sessions := number(t, sessionsEnv, 10_000)
	for _, sizes := range []struct {
		name             string
		sessions, ticket int
	}{
		{"tickets of 1 kB", sessions, 1 << 10},
		{"tickets of 64 KiB", sessions / 25, 64 << 10},
	} {
		t.Run(sizes.name, func(t *testing.T) {
			group := newCgroup(t, 256<<20)
			todo := task{
				Sessions: sizes.sessions, Ticket: sizes.ticket, Callers: 64,
				Settings: map[string]any{"path": t.TempDir()},
			}
			h := start(t, todo, group)
			most, last := h.done()
			t.Logf("%d sessions signed in: the plugin had at most %d MiB, then %d", todo.Sessions, most, last)
			h.kill()
			todo.Filled = true
			h = start(t, todo, group)
			most, last = h.done()
			t.Logf("%d sessions read and ended: the plugin had at most %d MiB, then %d", todo.Sessions, most,
				last)
			h.kill()
			if n := group.killed(t); n > 0 {
				t.Errorf("%d processes were killed by the OOM killer", n)
			}
		})
	}
}

// The plugin's memory stays near its setting at any number of sessions.
func TestMemoryOfThePlugin(t *testing.T) {
	testenv.SkipRace(t, "it uses several times the memory")
	sessions, memory := number(t, sessionsEnv, 10_000), os.Getenv(memoryEnv)
	if memory == "" {
		memory = "64"
	}
	for name := range strings.SplitSeq(memory, ",") {
		t.Run(name, func(t *testing.T) {
			settings, bound := map[string]any{"path": t.TempDir()}, 512
			if name != "default" {
				var err error
				if bound, err = strconv.Atoi(name); err != nil {
					t.Fatal(err)
				}
				settings["memory_mib"] = bound
			}
			if os.Getenv(pluginEnv) != "" {
				delete(settings, "memory_mib") // the build may predate the setting
			}
			h := start(t, task{Sessions: sessions, Ticket: 1 << 10, Callers: 64, Settings: settings}, nil)
			most, last := h.done()
			t.Logf("%d sessions: at most %d MiB, then %d", sessions, most, last)
			// The smallest settings are exceeded briefly: see README.
			if bound = max(bound, 128) + 44; most > bound {
				t.Errorf("the plugin had %d MiB, want at most %d", most, bound)
			}
		})
	}
}

// The PostgreSQL plugin has no store of its own, and its process stays near the limit that it sets.
func TestMemoryOfThePostgresPlugin(t *testing.T) {
	testenv.SkipRace(t, "it uses several times the memory")
	sessions := number(t, sessionsEnv, 10_000)
	for _, c := range []struct {
		name                    string
		sessions, ticket, bound int
	}{
		{"tickets of 1 kB", sessions, 1 << 10, 128},
		{"tickets of 64 KiB", sessions / 25, 64 << 10, 256 + 44},
	} {
		t.Run(c.name, func(t *testing.T) {
			dsn, schema := pgserver.Start(t).Schema(t)
			h := start(t, task{
				Plugin: postgresPlugin, Sessions: c.sessions, Ticket: c.ticket, Callers: 64,
				Settings: map[string]any{"dsn": dsn, "schema": schema},
			}, nil)
			most, last := h.done()
			t.Logf("%d sessions: at most %d MiB, then %d", c.sessions, most, last)
			if most > c.bound {
				t.Errorf("the plugin had %d MiB, want at most %d", most, c.bound)
			}
		})
	}
}
