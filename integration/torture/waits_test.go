package torture

// The time that ends of sessions wait for all hosts (rule 15).

import (
	"fmt"
	"slices"
	"time"
)

// ackSlack bounds the acknowledgment of an end beyond a lease, counted from its commit.
const ackSlack = 200 * time.Millisecond

// waits are the durations of ends, and of other writes meanwhile. Those do not wait for hosts, so they show
// the cost of a commit on this machine.
type waits struct{ ends, others []time.Duration }

func (w *waits) String() string {
	return fmt.Sprintf("%d ends took %s in the median, %s at p99; other writes %s at p99", len(w.ends),
		percentile(w.ends, 50).Round(time.Millisecond), percentile(w.ends, 99).Round(time.Millisecond),
		percentile(w.others, 99).Round(time.Millisecond))
}

// late returns a message if ends wait too long, counted from their commits, or "". The beats and the mark
// that they wait for are commits too, which take longer on a slow machine. commits are all that were
// measured: those beside a few ends are too few for a percentile.
func (w *waits) late(lease time.Duration, commits []time.Duration) string {
	commit := percentile(commits, 99)
	most := commit + lease + max(ackSlack, 3*commit)
	if percentile(w.ends, 99) <= most {
		return ""
	}
	return fmt.Sprintf("%s: want at most %s at p99, with commits of %s", w, most.Round(time.Millisecond),
		commit.Round(time.Millisecond))
}

// percentile returns a percentile of sorted durations, or 0 if there are none.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)*p/100]
}

// awaited returns the waits of ends, including those without an answer, and of other writes: undisturbed,
// while another host was disturbed, and at a host that was disturbed, or whose database was, until its next
// acknowledged write.
func awaited(events []*event, lease time.Duration) (calm, beside, apart waits) {
	var harms []*event
	for _, e := range events {
		if e.Kind == harm {
			harms = append(harms, e)
		}
	}
	type recovery struct {
		harm int
		host string
	}
	known := map[recovery]time.Time{} // cached: each scans all events
	back := func(i int, host string) time.Time {
		at, found := known[recovery{i, host}]
		if !found {
			at = recovered(events, harms[i], host)
			known[recovery{i, host}] = at
		}
		return at
	}
	for _, e := range events {
		if e.Store != "" {
			continue
		}
		of := &calm
		for i, h := range harms {
			switch own := h.Host == "" || h.Host == e.Host; {
			case h.Start.After(e.End):
			case own && e.Start.Before(back(i, e.Host)):
				of = &apart
			case !own && of == &calm && e.Start.Before(h.End.Add(lease)):
				of = &beside
			}
		}
		switch took := e.End.Sub(e.Start); {
		case e.Kind == removeOne || e.Kind == removeAll || e.Kind == signOut:
			of.ends = append(of.ends, took)
		case e.Outcome == done && e.unawaited():
			of.others = append(of.others, took)
		}
	}
	return calm, beside, apart
}

// recovered returns when a host acknowledged a write that began after its disturbance.
func recovered(events []*event, h *event, host string) (at time.Time) {
	for _, e := range events {
		if e.Outcome == done && e.Host == host && e.Start.After(h.End) && e.unawaited() {
			at = earliest(at, e.End)
		}
	}
	if at.IsZero() {
		return h.End.Add(patience)
	}
	return at
}

// unawaited reports whether a call writes and does not wait for other hosts.
func (e *event) unawaited() bool {
	return e.Kind == authorize || e.Kind == exchange || e.Kind == refresh
}
