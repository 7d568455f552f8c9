package main

// In-memory rate limits.

import (
	"crypto/sha256"
	"sync"
	"time"
)

// rate permits burst at once, and then one per interval.
type rate struct {
	burst int
	every time.Duration
}

const (
	// maxLimited bounds the keys of a limiter.
	maxLimited = 50_000
	// evictionTries is how many entries are compared to choose the one to evict.
	evictionTries = 8
)

type limitKey [sha256.Size]byte

// limiter implements the generic cell rate algorithm: for each key it stores the time at which the full burst
// is available again.
type limiter struct {
	mu   sync.Mutex
	full map[limitKey]time.Time
}

// take takes one, or returns how long to wait for it. The one taken is available again an interval after at.
func (l *limiter) take(r rate, key limitKey, now time.Time) (at time.Time, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := l.full[key]
	if full.Before(now) {
		full = now
	}
	if wait = full.Sub(now) - time.Duration(r.burst-1)*r.every; wait > 0 {
		return full, wait
	}
	if l.full == nil {
		l.full = map[limitKey]time.Time{}
	}
	if _, there := l.full[key]; !there && len(l.full) >= maxLimited {
		l.evict()
	}
	l.full[key] = full.Add(r.every)
	return full, 0
}

// advance marks everything before a time as taken.
func (l *limiter) advance(key limitKey, moment time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if full, there := l.full[key]; there && full.Before(moment) {
		l.full[key] = moment
	}
}

// evict removes, of a few random entries, the one that recovers first: heavily used keys outlive those that
// an attacker makes up.
func (l *limiter) evict() {
	var first limitKey
	tries := 0
	for key, full := range l.full {
		if tries == 0 || full.Before(l.full[first]) {
			first = key
		}
		if tries++; tries == evictionTries {
			break
		}
	}
	delete(l.full, first)
}

func (l *limiter) giveBack(r rate, key limitKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if full, there := l.full[key]; there {
		l.full[key] = full.Add(-r.every)
	}
}
