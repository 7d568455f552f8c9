package torture

// Which calls ran undisturbed.

import (
	"slices"
	"time"
)

// settled is how long after the answer 200 of a client its notification is settled for sure, if nothing
// happens to the processes.
const settled = 5 * time.Second

// settledBy is when a call has taken effect, if ever, whose client had gone at a moment: it may have waited
// until what was done to the processes had ended, however long that took.
func (c *checker) settledBy(gone time.Time) time.Time {
	settled := gone.Add(c.terms.late)
	for _, f := range c.harms { // in the order of their begins
		if f.Start.Before(settled) && gone.Before(f.End) {
			settled = later(settled, f.End.Add(c.terms.late))
		}
	}
	return settled
}

// undisturbed is when a call began, or when what was done to the processes before its answer had ended.
func (c *checker) undisturbed(call *event) time.Time {
	from := call.Start
	for _, f := range c.harms {
		if f.Start.Before(call.End) {
			from = later(from, earliest(f.End, call.End))
		}
	}
	return from
}

// calm reports whether nothing was done to the processes in that time, nor so shortly before that they may
// not have come to rest.
func (c *checker) calm(from, to time.Time) bool {
	return !slices.ContainsFunc(c.harms, func(f *event) bool {
		return f.Start.Before(to) && from.Before(f.End.Add(c.terms.late))
	})
}

// again holds that no client was notified of a session's end more often than it may be: once, and once more
// if it had just got tokens (rule 7), and whenever the host had not its answer, for something was done to the
// processes or it says so itself, or an operator asked for it. A swap of the store is no reason.
func (c *checker) again(events []*event) {
	parts := map[part][]*event{}
	for _, e := range events {
		switch e.Kind {
		case told, snubbed, unheard, resent:
			at := part{e.Session, e.Client}
			parts[at] = append(parts[at], e)
		}
	}
	for _, all := range parts {
		c.notifiedAgain(all)
	}
}

// notifiedAgain is given what happened between one client and the hosts about one session, in its order.
func (c *checker) notifiedAgain(events []*event) {
	var last *event // of the tellings
	tellings, reasons := 0, 0
	open := false // the client has answered the latest attempt, and the host may say that it has not seen it
	for _, e := range events {
		switch {
		case e.Kind == resent:
			reasons++
		case e.Kind == snubbed:
			open = false
		case e.Kind == told && e.Outcome == done:
			last, open = e, true
			tellings++
			if !c.calm(e.Start, e.End.Add(settled)) {
				reasons, open = reasons+1, false
			}
		case e.Kind == unheard && open:
			reasons, open = reasons+1, false
		}
	}
	if tellings > 2+reasons {
		c.violatef(ruleAgain, last, "told %d times, with %d reasons to be notified more than twice", tellings,
			reasons)
	}
}
