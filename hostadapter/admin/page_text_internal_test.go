package admin

import (
	"testing"
	"time"
)

func TestAway(t *testing.T) {
	t.Parallel()
	for distance, want := range map[time.Duration]string{
		-5 * time.Second:                 "just now",
		59 * time.Second:                 "in 59 s",
		59*time.Minute + 40*time.Second:  "in 1 h",
		10*time.Hour - time.Second:       "in 10 h",
		47*time.Hour + 50*time.Minute:    "in 2 days",
		14*24*time.Hour - time.Second:    "in 14 days",
		-59*time.Minute - 40*time.Second: "59 min ago",
		-10*time.Hour + time.Second:      "9 h ago",
		-49 * time.Hour:                  "2 days ago",
	} {
		if got := away(distance); got != want {
			t.Errorf("%s is %q, want %q", distance, got, want)
		}
	}
}
