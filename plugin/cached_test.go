//go:build unix

package plugin_test

// What is cached, and the figures of the cache.

import (
	"slices"
	"syscall"
	"testing"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// stores are the services that a host needs.
var stores = []string{"tickets", "grants", "logout", "properties"}

func TestCacheSelection(t *testing.T) {
	t.Parallel()
	tells := append(slices.Clone(stores), grantstore.KillsService)
	leases := append(slices.Clone(tells), grantstore.LeasesService)
	for name, c := range map[string]struct {
		settings settings
		cache    int64
		cached   bool
	}{
		"a backend that tells its kills": {settings{Services: tells}, 0, true},
		"one that tells none":            {settings{Services: stores}, 0, false},
		"one that hosts share":           {settings{Services: tells, Shared: true}, 0, false},
		"one that hosts share by leases": {settings{Services: leases, Shared: true}, 0, true},
		"no cache wanted":                {settings{Services: tells}, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			config := b.config("plugin", c.settings)
			config.Cache = c.cache
			client := b.start(config)
			if cached := client.Kills() != nil; cached != c.cached {
				t.Errorf("kills are followed: %t, want %t", cached, c.cached)
			}
			// The figures stay while the plugin is replaced: their readers must not take it for a different
			// backend.
			pid := client.PID()
			b.signal(pid, syscall.SIGKILL)
			testenv.Eventually(t, "another plugin runs", func() bool {
				for range 1000 {
					if cached := client.CacheFigures() != nil; cached != c.cached {
						t.Fatalf("there are figures: %t, want %t", cached, c.cached)
					}
				}
				return client.PID() != pid && client.PID() != 0
			})
		})
	}
}
