package logout

// A limit for a store that hands out the same notification repeatedly.

import "time"

const (
	// maxHandouts is how often one notification is delivered within handoutWindow. Retries are far less
	// frequent.
	maxHandouts   = 100
	handoutWindow = time.Minute
	// maxRemembered bounds the number of notifications that are counted.
	maxRemembered = 4096
)

// handouts counts how often each notification was handed out recently. It limits the harm done by a store
// that forgets outcomes and hands out the same notifications again and again.
type handouts struct {
	since  time.Time
	counts map[string]int
}

// exceeded counts a notification. It reports whether to skip it for now, and whether this is the first time.
func (h *handouts) exceeded(id string) (exceeded, first bool) {
	if h.counts == nil || len(h.counts) >= maxRemembered || time.Since(h.since) > handoutWindow {
		h.since, h.counts = time.Now(), map[string]int{}
	}
	h.counts[id]++
	return h.counts[id] > maxHandouts, h.counts[id] == maxHandouts+1
}
