package rules

// Rule 7: which notifications one claim gets.

import (
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

// Offer is what a claim does with a notification.
type Offer int

// What it does.
const (
	// Takes: the notification is claimed.
	Takes Offer = iota
	// PassesOver: neither this one nor later ones of the client are claimed.
	PassesOver
	// HasEnough: the claim is complete.
	HasEnough
)

// Round is a claim that goes from client to client (round robin), beginning after the client that was served
// last. Each client's notifications are offered in the order in which they fall due, until it takes no more.
type Round struct {
	claim *logout.Claim
	now   time.Time
	// client is the one whose turn it is; taken counts what was taken of its notifications, total all.
	client       string
	begun, busy  bool
	taken, total int
	// Next is when there is more to hand out, zero for never. Full: the round ended before its end.
	Next time.Time
	Full bool
}

// NewRound begins a round at now.
func NewRound(claim *logout.Claim, now time.Time) *Round { return &Round{claim: claim, now: now} }

// Offer decides on a notification of a client that is due at a moment.
func (r *Round) Offer(client string, due time.Time) Offer {
	if !r.begun || client != r.client {
		r.begun, r.client, r.taken, r.busy = true, client, 0, slices.Contains(r.claim.Busy, client)
	}
	switch {
	case r.busy, due.After(r.now), r.taken == r.claim.PerClient:
		r.Next = Earlier(r.Next, due)
		return PassesOver
	case r.total == r.claim.Limit:
		r.Stop()
		return HasEnough
	}
	r.taken, r.total = r.taken+1, r.total+1
	return Takes
}

// Stop ends the round before its end: there is more at once.
func (r *Round) Stop() { r.Full, r.Next = true, r.now }
