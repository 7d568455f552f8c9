package ticketstore

// What clients have registered, as far as the end of a session asks for it.

// MaxRegistrations bounds Registrations: three sessions with as many clients as they may have, and more.
const MaxRegistrations = 1000

// Registration is what a client has registered by now about the ends of sessions.
type Registration struct {
	// Notify: the client has a back-channel logout URI.
	Notify bool
	// Coordinated: the client's lifetime is that of the session.
	Coordinated bool
	// Muted are the ends of a session of which the client is not notified.
	Muted Ends
}

// Registrations are those of clients, by client id, at the moment of an ending. They count instead of what
// the session has of a client, which is of its last use. Nil stands for a client that is not registered any
// more, or could not be looked up: it is treated as at its last use, and so is one without an entry.
type Registrations map[string]*Registration

// Validate refuses registrations that a store must not keep, naming the field at fault.
func (r Registrations) Validate() error {
	if len(r) > MaxRegistrations {
		return Invalidf("registered", "has more than %d entries", MaxRegistrations)
	}
	for id, registration := range r {
		if err := CheckID("registered", id); err != nil {
			return err
		}
		if registration != nil && registration.Muted&^EndByAny != 0 {
			return Invalidf("registered", "has an end that there is not")
		}
	}
	return nil
}
