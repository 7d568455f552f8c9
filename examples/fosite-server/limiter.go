package main

// Rate limits in memory.

import (
	"crypto/sha256"
	"sync"
	"time"
)

// rate is so many at once, and then one in an interval.
type rate struct {
	burst int
	every time.Duration
}

const (
	// maxLimited bounds what a limiter remembers.
	maxLimited = 50_000
	// evictionTries is how many entries are compared to choose the one to evict.
	evictionTries = 8
)

type limitKey [sha256.Size]byte

// limiter counts by the generic cell rate algorithm: each key has one moment, at which all that was taken is
// given back.
type limiter struct {
	mu   sync.Mutex
	full map[limitKey]time.Time
}

// take takes one, or returns how long to wait for it. What was taken is given back an interval after at.
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

// pass has all taken that is before a moment.
func (l *limiter) pass(key limitKey, moment time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if full, there := l.full[key]; there && full.Before(moment) {
		l.full[key] = moment
	}
}

// evict forgets, of some entries in no order, the one that is due first: one that was hit often outlives
// those that an attacker makes up.
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
