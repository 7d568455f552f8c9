package logout

// A limit for a store that hands out the same notification repeatedly.

import "time"

const (
	// maxHanded is how often one notification is delivered within handedWindow. Retries are far less
	// frequent.
	maxHanded    = 100
	handedWindow = time.Minute
	// maxRemembered bounds the notifications that are remembered.
	maxRemembered = 4096
)

// handed counts how often notifications were handed out recently. It limits the harm of a store that forgets
// outcomes and hands out the same ones repeatedly.
type handed struct {
	since  time.Time
	counts map[string]int
}

// tooOften counts a notification. It reports whether it is to be skipped for now, and whether this is the
// first time.
func (h *handed) tooOften(id string) (often, first bool) {
	if h.counts == nil || len(h.counts) >= maxRemembered || time.Since(h.since) > handedWindow {
		h.since, h.counts = time.Now(), map[string]int{}
	}
	h.counts[id]++
	return h.counts[id] > maxHanded, h.counts[id] == maxHanded+1
}
