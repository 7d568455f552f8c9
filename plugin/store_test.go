//go:build unix

package plugin_test

// Pinned stores across the process boundary.

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A plugin that restarts with a different store is refused, with both ids and the path in the error, until
// the store is restored.
func TestAnotherStoreIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after string
		says          []string
		running       bool // the store is replaced while the plugin runs
	}{
		"another one":             {"store-a", "store-b", []string{"store-a", "store-b"}, false},
		"none":                    {"store-a", "", []string{"store-a", "no store"}, false},
		"a store instead of none": {"", "store-b", []string{"without an id", "store-b"}, false},
		"while running":           {"store-a", "store-b", []string{"store-a", "store-b"}, true},
		"while running, removed":  {"store-a", "", []string{"store-a", "no store"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFixture(t)
			path := filepath.Join(b.folder, "store")
			write := func(id string) {
				draft := path + ".new"
				if err := errors.Join(os.WriteFile(draft, []byte(id), 0o600),
					os.Rename(draft, path)); err != nil {
					t.Fatal(err)
				}
			}
			write(c.before)
			config := b.config("plugin", settings{Path: path})
			config.CallTimeout = time.Second
			client := b.start(config)
			pid := client.PID()
			write(c.after)
			if !c.running {
				b.signal(pid, syscall.SIGKILL)
			}
			testenv.Eventually(b.t, "the error names both stores", func() bool {
				_, err := client.Describe(t.Context())
				unsaid := func(part string) bool { return !strings.Contains(err.Error(), part) }
				return errors.Is(err, ticketstore.ErrUnavailable) &&
					!slices.ContainsFunc(append(c.says, path), unsaid)
			})
			for range 3 {
				_, err := client.Tickets().Get(t.Context(), ticketstore.Key{1})
				if !errors.Is(err, ticketstore.ErrUnavailable) {
					t.Errorf("a call: got %v, want ErrUnavailable", err)
				}
			}
			if now := client.PID(); now != 0 {
				t.Errorf("PID: got %d, want none", now)
			}
			write(c.before)
			testenv.Eventually(b.t, "calls are answered", func() bool {
				_, err := client.Tickets().Get(t.Context(), ticketstore.Key{1})
				return errors.Is(err, ticketstore.ErrNotFound)
			})
		})
	}
}

func TestPinnedStore(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	path := filepath.Join(b.folder, "store")
	if err := os.WriteFile(path, []byte("store-a"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config  string   // Config.StoreID
		context []string // ticketstore.WithStoreIDs
		wanted  []string // in the error, or nil
	}{
		"by the config":         {config: "store-a"},
		"another by the config": {config: "store-b", wanted: []string{"store-b"}},
		"by the context":        {context: []string{"store-b", "store-a"}},
		"other ids by the context": {
			context: []string{"store-b", "store-c"}, wanted: []string{"store-b", "store-c"},
		},
		"the config before the context": {config: "store-a", context: []string{"store-b"}},
		"the config against the context": {
			config: "store-b", context: []string{"store-a"}, wanted: []string{"store-b"},
		},
		"an empty list in the context": {context: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFixture(t)
			config := b.config("plugin", settings{Path: path})
			config.StoreID = c.config
			ctx := t.Context()
			if c.context != nil {
				ctx = ticketstore.WithStoreIDs(ctx, c.context...)
			}
			client, err := plugin.Open(ctx, config)
			if err == nil {
				err = client.Close()
			}
			var other *ticketstore.OtherStoreError
			switch {
			case c.wanted == nil && err != nil:
				t.Errorf("got %v, want no error", err)
			case c.wanted == nil:
			case !errors.As(err, &other) || !errors.Is(err, ticketstore.ErrOtherStore):
				t.Errorf("got %v, want ErrOtherStore", err)
			case !slices.Equal(other.Wanted, c.wanted) || other.Found != "store-a" || other.Place != path:
				t.Errorf("got %+v, want %v, store-a and %s", other, c.wanted, path)
			}
		})
	}
}
