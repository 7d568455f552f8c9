package ticketstore

// Ends: a set of the ways in which a session ends.

import "errors"

// Ends is a set of the ways in which a session can end.
type Ends uint8

// The ways in which a session ends.
const (
	EndBySignOut     Ends = 1 << iota // the user signed out
	EndByExpiry                       // the idle timeout passed, or the absolute expiry
	EndByRemoval                      // an operator removed it, or a limit did
	EndByReplacement                  // another user signed in over it
)

// EndByAny is the set of all ways.
const EndByAny = EndBySignOut | EndByExpiry | EndByRemoval | EndByReplacement

// Has reports whether the two sets intersect.
func (e Ends) Has(others Ends) bool { return e&others != 0 }

// Limit bounds the live sessions of a subject.
type Limit struct {
	// Max is the maximum, counting the new session. At least 1.
	Max int
	// EndOldest ends as many of the subject's oldest sessions as necessary, with reason terminated: their
	// clients are notified, their consents stay. If false, the new session is refused.
	EndOldest bool
	// KeepOffline lets Offline refresh tokens of the ended sessions outlive them, except those of clients
	// that coordinate their lifetime with the session.
	KeepOffline bool
	// Registered holds the current registrations of the clients of the subject's sessions.
	Registered Registrations
}

// Validate returns an error if Max is below one or Registered is invalid.
func (l *Limit) Validate() error {
	return errors.Join(CheckPositive("max", l.Max), l.Registered.Validate())
}
