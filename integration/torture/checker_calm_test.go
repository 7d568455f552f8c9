package torture

// Which calls were undisturbed.

import (
	"slices"
	"time"
)

// settled is the time after a client's answer 200 by which its notification is certainly settled, if the
// processes are undisturbed.
const settled = 5 * time.Second

// settledBy returns the time by which a call whose client disconnected has taken effect, if ever: it may have
// waited for the end of a disturbance, however long.
func (c *checker) settledBy(gone time.Time) time.Time {
	settled := gone.Add(c.terms.late)
	for _, f := range c.harms { // ordered by start
		if f.Start.Before(settled) && gone.Before(f.End) {
			settled = later(settled, f.End.Add(c.terms.late))
		}
	}
	return settled
}

// undisturbed returns when a call began, or when the last disturbance before its answer ended.
func (c *checker) undisturbed(call *event) time.Time {
	from := call.Start
	for _, f := range c.harms {
		if f.Start.Before(call.End) {
			from = later(from, earliest(f.End, call.End))
		}
	}
	return from
}

// calm reports whether the processes were undisturbed in that time, and for long enough before to have
// recovered.
func (c *checker) calm(from, to time.Time) bool {
	return !slices.ContainsFunc(c.harms, func(f *event) bool {
		return f.Start.Before(to) && from.Before(f.End.Add(c.terms.late))
	})
}

// again checks that no client was notified of a session's end too often: once; a second time if it had just
// got tokens (rule 7); and again whenever the host may not have seen its answer, because of a disturbance or
// according to its log, or an operator retried it. A swap of the store is no reason.
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

// notifiedAgain checks the events between one client and the hosts about one session, in order.
func (c *checker) notifiedAgain(events []*event) {
	var last *event // of the deliveries
	tellings, reasons := 0, 0
	// open: the client has answered the latest attempt, but the host may log that it has not seen the answer.
	open := false
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
		c.violatef(ruleAgain, last, "notified %d times, with %d reasons for more than two", tellings,
			reasons)
	}
}
