package ticketstore

// Registration: the parts of a client's registration that matter when a session ends.

// MaxRegistrations bounds Registrations: enough for three sessions with MaxClients clients each.
const MaxRegistrations = 1000

// Registration is what a client has currently registered about the end of sessions.
type Registration struct {
	// Notify: the client has a back-channel logout URI.
	Notify bool
	// Coordinated: the client's lifetime is coordinated with that of the session.
	Coordinated bool
	// Muted are the ways of ending of which the client is not notified.
	Muted Ends
}

// Registrations maps client ids to their registrations at the moment of an ending. They take precedence over
// the values that the session recorded when the client last used it. For a client with a nil entry (no longer
// registered, or the lookup failed) or without an entry the recorded values apply.
type Registrations map[string]*Registration

// Validate returns an error that names the field at fault if a store must not accept the registrations.
func (r Registrations) Validate() error {
	if len(r) > MaxRegistrations {
		return Invalidf("registered", "has more than %d entries", MaxRegistrations)
	}
	for id, registration := range r {
		if err := CheckID("registered", id); err != nil {
			return err
		}
		if registration != nil && registration.Muted&^EndByAny != 0 {
			return Invalidf("registered", "has an unknown way of ending")
		}
	}
	return nil
}
