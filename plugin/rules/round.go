package rules

// Rule 7: which notifications one claim gets.

import (
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

// ClaimDecision is what a claim does with a notification.
type ClaimDecision int

// What it does.
const (
	// Claimed: the claim hands it out.
	Claimed ClaimDecision = iota
	// ClientSkipped: neither this one nor later ones of the client are claimed.
	ClientSkipped
	// ClaimComplete: nothing more is claimed.
	ClaimComplete
)

// Round is a claim that goes from client to client (round robin), beginning after the client that was served
// last. It decides on each client's notifications in the order in which they fall due.
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

// Decide decides on a notification of a client that is due at a moment.
func (r *Round) Decide(client string, due time.Time) ClaimDecision {
	if !r.begun || client != r.client {
		r.begun, r.client, r.taken, r.busy = true, client, 0, slices.Contains(r.claim.Busy, client)
	}
	switch {
	case r.busy, due.After(r.now), r.taken == r.claim.PerClient:
		r.Next = Earlier(r.Next, due)
		return ClientSkipped
	case r.total == r.claim.Limit:
		r.Stop()
		return ClaimComplete
	}
	r.taken, r.total = r.taken+1, r.total+1
	return Claimed
}

// Stop ends the round before its end: there is more at once.
func (r *Round) Stop() { r.Full, r.Next = true, r.now }
