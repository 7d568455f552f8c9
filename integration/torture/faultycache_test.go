package torture

// Seeded faults of the host's cache and of the stream of kills, which the checker must find (rule 15).

import (
	"context"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest"
)

// cacheFault is a fault of a host with a cache that calls the backend through the protocol. kills replaces
// the backend's kills.
type cacheFault struct {
	fault
	kills func(grantstore.Kills) grantstore.Kills
}

// stale are the rules violated by a cache that answers too long.
var stale = []rule{ruleUndead, ruleRotated}

var cacheFaults = []cacheFault{
	{fault{"none, with a cache", nil, slowly}, func(k grantstore.Kills) grantstore.Kills {
		return &faultyKills{Kills: k, late: lateKill}
	}},
	{fault{"does not stream kills", stale, slowly}, func(k grantstore.Kills) grantstore.Kills {
		return &faultyKills{Kills: k, loses: true}
	}},
	{fault{"lets answers overtake kills", stale, slowly}, func(k grantstore.Kills) grantstore.Kills {
		return &faultyKills{Kills: k, late: 20 * lateKill, overtaken: true}
	}},
}

// TestSeededFaultsOfTheCacheAreFound: see TestSeededFaultsAreFound. The model test of the cache
// (plugin/internal/grantcache) finds the host's own faults.
func TestSeededFaultsOfTheCacheAreFound(t *testing.T) {
	t.Parallel()
	var group sync.WaitGroup
	for i := range cacheFaults {
		f, folder := &cacheFaults[i], t.TempDir()
		group.Go(func() {
			err := f.run(t, folder, func(engine *badger.Engine, faulty *faulty) sessions.Backend {
				return cached(t, faulty, f.kills(engine.Kills()))
			})
			if err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		})
	}
	group.Wait()
}

const (
	// lateKill is the delay of a kill, slowRead the delay of some answers.
	lateKill = 10 * time.Millisecond
	slowRead = 20 * time.Millisecond
)

// slowly delays some answers to reads, so that kills occur in between.
func slowly(_ *faultyTickets, g *faultyGrants, _ *faultyLogout) {
	g.get = func(ctx context.Context, ref grantstore.Ref, now time.Time) (*grantstore.GetResult, error) {
		found, err := g.Store.Get(ctx, ref, now)
		if oneIn(4) {
			time.Sleep(slowRead)
		}
		return found, err
	}
}

// faultyKills delays kills, omits what they name, or reports that an answer has seen none.
type faultyKills struct {
	grantstore.Kills
	late             time.Duration
	loses, overtaken bool
}

func (f *faultyKills) Position() uint64 {
	if f.overtaken {
		return 0
	}
	return f.Kills.Position()
}

func (f *faultyKills) Follow(ctx context.Context) iter.Seq2[*grantstore.Kill, error] {
	return func(yield func(*grantstore.Kill, error) bool) {
		for kill, err := range f.Kills.Follow(ctx) {
			time.Sleep(f.late)
			if err == nil && f.loses && oneIn(2) {
				kill = &grantstore.Kill{Position: kill.Position}
			}
			if !yield(kill, err) {
				return
			}
		}
	}
}

// killing is a backend that streams kills.
type killing struct {
	sessions.Backend
	kills grantstore.Kills
}

func (k *killing) Kills() grantstore.Kills { return k.kills }

// cached returns the backend as seen by a host that calls it through the protocol and caches.
func cached(t *testing.T, backend *faulty, kills grantstore.Kills) *faulty {
	t.Helper()
	stores := plugintest.Connect(t, &killing{backend, kills})
	return &faulty{backend.Backend, stores.Tickets, stores.Grants, stores.Logout}
}
