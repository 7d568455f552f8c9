//go:build linux

package torture

// Two hosts over a PostgreSQL that fails over.

import (
	"slices"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

const (
	failoversEnv = "TORTURE_FAILOVERS" // how many; without it there are none
	ttlEnv       = "TORTURE_TTL"       // seconds that a primary keeps its place; 8 when unset
)

// way is one in which a primary is lost, and comes back.
type way struct {
	name      string
	fail, end func(n *pgserver.Node)
}

// Users work at two hosts over a cluster whose primary is killed, hangs, or is cut off. What was acknowledged
// holds on the next primary, what was ended stays so when the former one is back, and what fails says so.
func TestFailover(t *testing.T) {
	failovers := number(t, failoversEnv, 0)
	if failovers == 0 {
		t.Skip("see make test-failover")
	}
	if !testenv.NeedNetwork(t, pgserver.ClusterTools()...) {
		return
	}
	cluster := pgserver.StartCluster(t, time.Duration(number(t, ttlEnv, 8))*time.Second)
	store := &database{DSN: cluster.DSN(), Schema: "sessions"}
	p := newPair(t, sharedTerms, store, number(t, usersEnv, 12))
	ways := []way{
		{"killed", func(n *pgserver.Node) { n.Kill() }, func(n *pgserver.Node) { n.Begin(t) }},
		{"stopped", func(n *pgserver.Node) { n.Pause(t) }, func(n *pgserver.Node) { n.Continue(t) }},
		{"cut off", func(n *pgserver.Node) { n.Cut(t) }, func(n *pgserver.Node) { n.Join(t) }},
	}
	recoveries := make([][]time.Duration, len(ways))
	p.run(func() {
		for i := range failovers {
			at := i % len(ways)
			if took, ok := p.failOver(cluster, ways[at]); ok {
				recoveries[at] = append(recoveries[at], took)
			}
		}
	})
	for i, took := range recoveries {
		if slices.Sort(took); len(took) > 0 {
			t.Logf("a primary is %s: %d times, the next write was acknowledged after %s, at most %s",
				ways[i].name, len(took), took[len(took)/2].Round(time.Millisecond),
				took[len(took)-1].Round(time.Millisecond))
		}
	}
}

// failOver loses the primary, which comes back when users have written to the next one for a while. It waits
// until all is whole, and returns after how long the first write was acknowledged that began afterwards.
func (p *pair) failOver(cluster *pgserver.Cluster, way way) (recovery time.Duration, ok bool) {
	cluster.AwaitWhole(p.t)
	p.w.progress(p.t, 20)
	old := cluster.Primary()
	if old == nil {
		p.t.Fatal("there is no primary")
	}
	p.disturb(func() {
		way.fail(old)
		failed := time.Now()
		cluster.AwaitPrimary(p.t, old)
		took := time.Since(failed)
		var written []time.Time
		for deadline := time.Now().Add(patience); len(written) < 50; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				p.t.Errorf("the primary is %s: %d writes within %s of the next one", way.name, len(written),
					patience)
				break
			}
			written = p.w.history.writes(failed)
		}
		if len(written) > 0 {
			recovery, ok = slices.MinFunc(written, time.Time.Compare).Sub(failed), true
		}
		p.t.Logf("the primary is %s: another after %s, a write after %s", way.name,
			took.Round(time.Millisecond), recovery.Round(time.Millisecond))
		way.end(old)
		p.w.progress(p.t, 20)
		cluster.AwaitWhole(p.t)
	})
	return recovery, ok
}
