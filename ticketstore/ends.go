package ticketstore

// The ways in which a session ends, as a set.

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

// EndByAny is every way.
const EndByAny = EndBySignOut | EndByExpiry | EndByRemoval | EndByReplacement

// Has reports whether the set has one of the others.
func (e Ends) Has(others Ends) bool { return e&others != 0 }

// Limit bounds the live sessions of a subject.
type Limit struct {
	// Max is how many, the new one among them. At least 1.
	Max int
	// EndOldest ends as many of the subject's oldest sessions as necessary, with reason terminated; their
	// clients are notified, their consents stay. Otherwise the new one is refused.
	EndOldest bool
	// KeepOffline lets Offline refresh tokens of the ended sessions outlive them, but for those of clients
	// that coordinate their lifetime with the session.
	KeepOffline bool
	// Registered is what the clients of the subject's sessions have registered by now.
	Registered Registrations
}

// Validate refuses a limit below one.
func (l *Limit) Validate() error {
	return errors.Join(CheckPositive("max", l.Max), l.Registered.Validate())
}
