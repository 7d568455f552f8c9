package logout

import "time"

const (
	// maxHanded is how often one notice is delivered within handedWindow. What is retried comes far less
	// often.
	maxHanded    = 100
	handedWindow = time.Minute
	// maxRemembered bounds the notices that are remembered.
	maxRemembered = 4096
)

// handed counts how often notices were handed out lately: a store that forgets outcomes hands out the same
// ones again and again.
type handed struct {
	since  time.Time
	counts map[string]int
}

// tooOften counts a notice, and reports whether it is to be left alone for now, and whether that is news.
func (h *handed) tooOften(id string) (often, first bool) {
	if h.counts == nil || len(h.counts) >= maxRemembered || time.Since(h.since) > handedWindow {
		h.since, h.counts = time.Now(), map[string]int{}
	}
	h.counts[id]++
	return h.counts[id] > maxHanded, h.counts[id] == maxHanded+1
}
