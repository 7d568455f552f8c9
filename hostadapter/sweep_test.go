package hostadapter_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// TestSweepGoesPastSessionsThatSlid: they stand in the index before the one that is due, more of them than one call looks at.
func TestSweepGoesPastSessionsThatSlid(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.IdleTimeout = time.Hour })
	var active []*browser
	for range 1000 {
		b := h.browser()
		b.signIn(hostadapter.Identity{Subject: "active"})
		active = append(active, b)
	}
	h.clock.advance(time.Second)
	idle := h.browser().signIn(hostadapter.Identity{Subject: "idle"})
	h.clock.advance(30 * time.Minute)
	for _, b := range active {
		b.mustBe("active")
	}
	h.clock.advance(31 * time.Minute)
	h.config.SweepEvery = 4 * time.Second // five rounds would take longer than eventually waits
	h.start()
	eventually(t, "the idle session ended", func() bool {
		_, err := h.SessionByID(t.Context(), idle.SessionID)
		return errors.Is(err, hostadapter.ErrNotFound)
	})
}
