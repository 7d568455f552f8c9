//go:build linux

package torture

// Two hosts on a PostgreSQL cluster that fails over.

import (
	"slices"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

const (
	failoversEnv = "TORTURE_FAILOVERS" // number of failovers; none if unset
	ttlEnv       = "TORTURE_TTL"       // seconds of a primary's lease; 8 if unset
)

// way is a way to lose a primary and restore it.
type way struct {
	name      string
	fail, end func(n *pgserver.Node)
}

// Users work at two hosts on a cluster whose primary is killed, hangs, is partitioned, or is left behind: it
// keeps answering while it is replaced. Acknowledged writes survive on the next primary, ended sessions stay
// ended even if the former primary answers, and failed calls return errors.
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
		{
			"left behind", func(n *pgserver.Node) { n.PausePatroni(t) },
			func(n *pgserver.Node) { n.Continue(t) },
		},
	}
	pauses := make([][]time.Duration, len(ways))
	p.run(func() {
		for i := range failovers {
			way := i % len(ways)
			pauses[way] = append(pauses[way], p.failOver(cluster, ways[way]))
		}
	})
	p.acknowledged()
	for i, took := range pauses {
		if slices.Sort(took); len(took) > 0 {
			t.Logf("a primary is %s %d times: no write for %s in the middle, %s at most", ways[i].name,
				len(took), took[len(took)/2].Round(time.Millisecond),
				took[len(took)-1].Round(time.Millisecond))
		}
	}
}

// failOver loses the primary, and restores it when users have written to the next one for a while. It waits
// until the cluster is complete, and returns for how long no write was acknowledged.
func (p *pair) failOver(cluster *pgserver.Cluster, way way) (pause time.Duration) {
	cluster.AwaitWhole(p.t)
	p.w.progress(p.t, 20)
	old := cluster.Primary()
	if old == nil {
		p.t.Fatal("there is no primary")
	}
	p.outage(func() {
		way.fail(old)
		failed := time.Now()
		cluster.AwaitPrimary(p.t, old)
		promoted := time.Now()
		for deadline := promoted.Add(patience); len(p.w.history.writes(promoted)) < 50; {
			if time.Now().After(deadline) {
				p.t.Errorf("the primary is %s: few writes within %s of the next one\n%s", way.name, patience,
					cluster.Log())
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		pause = longestPause(failed, p.w.history.writes(failed))
		p.t.Logf("the primary is %s: another after %s, %s without a write", way.name,
			promoted.Sub(failed).Round(time.Millisecond), pause.Round(time.Millisecond))
		way.end(old)
		p.w.progress(p.t, 20)
		cluster.AwaitWhole(p.t)
	})
	return pause
}

// longestPause returns the longest time between two consecutive events from a given time on.
func longestPause(from time.Time, moments []time.Time) (longest time.Duration) {
	slices.SortFunc(moments, time.Time.Compare)
	for _, at := range moments {
		longest, from = max(longest, at.Sub(from)), at
	}
	return longest
}
