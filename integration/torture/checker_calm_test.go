package torture

// Which calls ran undisturbed.

import (
	"slices"
	"time"
)

// settled is how long after the answer 200 of a client its notification is settled for sure, if nothing
// happens to the processes.
const settled = 5 * time.Second

// promptly is how fast a client answers whose answer comes in time for sure.
const promptly = 200 * time.Millisecond

// calm reports whether nothing was done to the processes in that time, nor so shortly before that they may
// not have come to rest.
func (c *checker) calm(from, to time.Time) bool {
	return !slices.ContainsFunc(c.harms, func(f event) bool {
		return f.Start.Before(to) && from.Before(f.End.Add(c.terms.late))
	})
}

// again holds that no client was notified of a session's end more often than it may be: once, and once more
// if it had just got tokens (rule 7), and whenever its answer may have been lost or an operator asked for it.
// A swap of the store is no reason.
func (c *checker) again(events []event) {
	type part struct{ sid, client string }
	tellings, reasons := map[part][]event{}, map[part]int{}
	for _, e := range events {
		at := part{e.Session, e.Client}
		switch {
		case e.Kind == resent:
			reasons[at]++
		case e.Kind == told && e.Outcome == done:
			tellings[at] = append(tellings[at], e)
			if e.End.Sub(e.Start) > promptly || !c.calm(e.Start, e.End.Add(settled)) {
				reasons[at]++
			}
		}
	}
	for at, all := range tellings {
		if len(all) > 2+reasons[at] {
			c.violatef(ruleAgain, all[len(all)-1],
				"told %d times, with %d reasons to be notified more than twice", len(all), reasons[at])
		}
	}
}
