// Package loglimit rate-limits log lines that requests can cause in any number.
package loglimit

import (
	"sync"
	"sync/atomic"
	"time"
)

// Lines allows one line a second. The zero value is ready for use. It is safe for concurrent use.
type Lines struct{ next, suppressed atomic.Int64 }

// Allow reports whether to log now, and how many lines were suppressed since the last one allowed.
func (l *Lines) Allow(now time.Time) (suppressed int64, ok bool) {
	next := l.next.Load()
	early := next != 0 && now.UnixNano() < next && now.UnixNano() >= next-int64(time.Second)
	if early || !l.next.CompareAndSwap(next, now.Add(time.Second).UnixNano()) {
		l.suppressed.Add(1)
		return 0, false
	}
	return l.suppressed.Swap(0), true
}

const (
	// textInterval is the minimum interval between two lines of the same text.
	textInterval = time.Minute
	// maxTexts bounds the number of remembered texts.
	maxTexts = 100
)

// Texts allows each text once a minute. The zero value is ready for use. It is safe for concurrent use.
type Texts struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// Allow reports whether to log a text now.
func (t *Texts) Allow(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now() // the clock only paces the log
	if last, found := t.seen[text]; found && now.Sub(last) < textInterval {
		return false
	}
	if t.seen == nil || len(t.seen) == maxTexts {
		t.seen = map[string]time.Time{}
	}
	t.seen[text] = now
	return true
}
