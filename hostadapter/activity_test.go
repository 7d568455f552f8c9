package hostadapter_test

// The activity of the last hour.

import (
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
)

func TestActivityOfTheLastHour(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	sum := func() (all hostadapter.Minute) {
		t.Helper()
		minutes := h.Operations().Activity()
		if len(minutes) != 60 || !minutes[59].Begin.Equal(h.clock.Now().Truncate(time.Minute)) ||
			minutes[59].Begin.Sub(minutes[0].Begin) != 59*time.Minute {
			t.Fatalf("minutes %v, want the last 60", minutes)
		}
		for _, m := range minutes {
			all.Started, all.Ended, all.Delivered = all.Started+m.Started, all.Ended+m.Ended,
				all.Delivered+m.Delivered
		}
		return all
	}
	ann, ben := h.browser(), h.browser()
	ann.signIn(hostadapter.Identity{Subject: "ann"})
	h.clock.advance(30 * time.Minute)
	ben.signIn(hostadapter.Identity{Subject: "ben"})
	if err := ben.signOut(); err != nil {
		t.Fatal(err)
	}
	if got := sum(); got.Started != 2 || got.Ended != 1 {
		t.Errorf("after half an hour: %+v, want 2 started and 1 ended", got)
	}
	if now := h.Operations().Activity()[59]; now.Started != 1 || now.Ended != 1 {
		t.Errorf("the present minute: %+v, want 1 started and 1 ended", now)
	}
	h.clock.advance(30 * time.Minute) // Ann's is an hour ago
	if got := sum(); got.Started != 1 || got.Ended != 1 {
		t.Errorf("after an hour: %+v, want 1 started and 1 ended", got)
	}
	h.clock.advance(time.Hour)
	if got := sum(); got != (hostadapter.Minute{}) {
		t.Errorf("after two hours: %+v, want nothing", got)
	}
}
