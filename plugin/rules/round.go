package rules

// Rule 7: which notifications a claim gets.

import (
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

// ClaimDecision is what a claim does with a notification.
type ClaimDecision int

// The decisions.
const (
	// Claimed: the notification is claimed.
	Claimed ClaimDecision = iota
	// ClientSkipped: this and all later notifications of the client are skipped.
	ClientSkipped
	// ClaimComplete: nothing more is claimed.
	ClaimComplete
)

// Round is a claim that visits clients round robin, starting after the client that was served last. It
// decides on each client's notifications in due order.
type Round struct {
	claim *logout.Claim
	now   time.Time
	// client is the current client; taken counts its claimed notifications, total those of all clients.
	client       string
	busy         bool
	taken, total int
	// Next is when more notifications are due, zero for never. Full: the round stopped early.
	Next time.Time
	Full bool
}

// NewRound starts a round at now.
func NewRound(claim *logout.Claim, now time.Time) *Round { return &Round{claim: claim, now: now} }

// Decide decides on a notification of a client that is due at a moment.
func (r *Round) Decide(client string, due time.Time) ClaimDecision {
	if client != r.client {
		r.client, r.taken, r.busy = client, 0, slices.Contains(r.claim.Busy, client)
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

// Stop stops the round early: more notifications are due now.
func (r *Round) Stop() { r.Full, r.Next = true, r.now }
