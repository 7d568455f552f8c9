// Package seldom bounds lines of the log that anybody can cause with requests.
package seldom

import (
	"sync/atomic"
	"time"
)

// Lines lets one line a second into the log. Its zero value is ready for use, also concurrently.
type Lines struct{ next, missed atomic.Int64 }

// Line reports whether there is to be a line now, and how many were left out since the last.
func (l *Lines) Line(now time.Time) (missed int64, log bool) {
	next := l.next.Load()
	early := next != 0 && now.UnixNano() < next && now.UnixNano() >= next-int64(time.Second)
	if early || !l.next.CompareAndSwap(next, now.Add(time.Second).UnixNano()) {
		l.missed.Add(1)
		return 0, false
	}
	return l.missed.Swap(0), true
}
