package torture

// How long ends of sessions wait for all hosts (rule 15).

import (
	"fmt"
	"slices"
	"time"
)

// ackSlack is how much later than a lease an end may be acknowledged, counted from its commit.
const ackSlack = 200 * time.Millisecond

// waits are how long ends took, and other writes meanwhile: those wait for no host, so that they show what a
// commit and the machine took.
type waits struct{ ends, others []time.Duration }

func (w *waits) String() string {
	return fmt.Sprintf("%d ends took %s in the middle, %s at p99; other writes %s at p99", len(w.ends),
		percentile(w.ends, 50).Round(time.Millisecond), percentile(w.ends, 99).Round(time.Millisecond),
		percentile(w.others, 99).Round(time.Millisecond))
}

// late says that ends wait for too long, counted from their commits; empty where they do not. The beats and
// the mark that they wait for are commits too: those of a slow machine take their time.
func (w *waits) late(lease time.Duration) string {
	commit := percentile(w.others, 99)
	most := commit + lease + max(ackSlack, 3*commit)
	if percentile(w.ends, 99) <= most {
		return ""
	}
	return fmt.Sprintf("%s: want at most %s at p99", w, most.Round(time.Millisecond))
}

// percentile of what is sorted by it; 0 of nothing.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)*p/100]
}

// awaited are the waits of ends, also of those that got no answer, and of other writes: in calm, beside a
// host that was disturbed, and at a host that was, or whose database was, until it acknowledged something
// again.
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
	known := map[recovery]time.Time{} // each goes through all events
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

// recovered is when a host had acknowledged a write that began behind what was done to it.
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

// unawaited reports whether a call writes and waits for no other host.
func (e *event) unawaited() bool {
	return e.Kind == authorize || e.Kind == exchange || e.Kind == refresh
}
