//go:build unix

package plugin_test

// Which backends get a cache, and the figures of the cache.

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
	withKills := append(slices.Clone(stores), grantstore.KillsService)
	withLeases := append(slices.Clone(withKills), grantstore.LeasesService)
	for name, c := range map[string]struct {
		settings settings
		cache    int64
		cached   bool
	}{
		"with kills":          {settings{Services: withKills}, 0, true},
		"without kills":       {settings{Services: stores}, 0, false},
		"shared":              {settings{Services: withKills, Shared: true}, 0, false},
		"shared, with leases": {settings{Services: withLeases, Shared: true}, 0, true},
		"disabled":            {settings{Services: withKills}, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFixture(t)
			config := b.config("plugin", c.settings)
			config.Cache = c.cache
			client := b.start(config)
			if cached := client.Kills() != nil; cached != c.cached {
				t.Errorf("kills are followed: %t, want %t", cached, c.cached)
			}
			// The figures stay while the plugin is replaced: to their readers the backend is the same.
			pid := client.PID()
			b.signal(pid, syscall.SIGKILL)
			testenv.Eventually(t, "another plugin runs", func() bool {
				for range 1000 {
					if cached := client.CacheFigures() != nil; cached != c.cached {
						t.Fatalf("has figures: %t, want %t", cached, c.cached)
					}
				}
				return client.PID() != pid && client.PID() != 0
			})
		})
	}
}
