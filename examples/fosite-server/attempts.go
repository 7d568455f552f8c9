package main

import (
	"maps"
	"sync"
	"time"
)

const (
	// maxFailures within failureWindow are what one address may have before it has to wait.
	maxFailures   = 5
	failureWindow = time.Minute
	// maxAddresses bounds what is remembered. Whoever commands more addresses than that finds a random token no sooner.
	maxAddresses = 10_000
)

// failedAttempts bounds how often a secret may be guessed from one address, so that nobody can lock out the others.
type failedAttempts struct {
	mu   sync.Mutex
	from map[string]failures
}

// failures are those of one address since the first of them.
type failures struct {
	count int
	first time.Time
}

// begin counts an attempt as failed until succeed takes it back, and tells how long the address has to wait instead: then the attempt is not
// to be looked at, right or wrong. Counting first leaves nothing to attempts that are made all at once.
func (f *failedAttempts) begin(address string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.from == nil || len(f.from) >= maxAddresses {
		maps.DeleteFunc(f.from, func(_ string, past failures) bool { return now.Sub(past.first) >= failureWindow })
		if f.from == nil || len(f.from) >= maxAddresses {
			f.from = map[string]failures{}
		}
	}
	key := neighbourhood(address)
	past := f.from[key]
	if past.count == 0 || now.Sub(past.first) >= failureWindow {
		past = failures{first: now}
	}
	if past.count >= maxFailures {
		return failureWindow - now.Sub(past.first)
	}
	past.count++
	f.from[key] = past
	return 0
}

// succeed forgets the failures of an address.
func (f *failedAttempts) succeed(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.from, neighbourhood(address))
}
