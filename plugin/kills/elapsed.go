package kills

// Elapsed: the clock of leases.

import "time"

// Elapsed returns the time since a moment by the monotonic clock or by the wall clock, whichever is longer:
// the monotonic clock stops while a machine is suspended, the wall clock may be set back.
func Elapsed(since time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}
