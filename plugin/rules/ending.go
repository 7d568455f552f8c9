package rules

// Rules 1, 6 and 7: what the end of a session does of its clients, tokens and consents.

import (
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// ClockSkew is how far the clocks of hosts that share a store may be apart.
const ClockSkew = time.Minute

// Expiration is the ending of a session that a sweep has found due (rule 8).
func Expiration(sid string, sweep *logout.Sweep) *logout.Ending {
	return &logout.Ending{
		SessionID: sid, Reason: logout.SessionExpiration, KeepConsents: true, KeepOffline: sweep.KeepOffline,
		SkipNotification: sweep.SkipNotification, CoordinatedOnly: sweep.CoordinatedOnly,
		Registered: sweep.Registered,
	}
}

// Displacement is the ending of a session that makes room for another one of its subject.
func Displacement(sid string, limit *ticketstore.Limit) *logout.Ending {
	return &logout.Ending{
		SessionID: sid, Reason: logout.Terminated, KeepConsents: true, KeepOffline: limit.KeepOffline,
		Registered: limit.Registered,
	}
}

// Missing gathers the clients whose registrations an ending, or a sweep, asks for before it ends sessions.
type Missing struct {
	// Registered is what the caller knows.
	Registered ticketstore.Registrations
	// Clients are those to ask for: of each session that was left all of them, so that it ends when the
	// caller names no others.
	Clients []string
}

// Leaves reports whether sessions are to be left for now, because of some of their clients no registration is
// known. Clients are sorted; those beyond ticketstore.MaxRegistrations are not asked for.
func (m *Missing) Leaves(clients []string) bool {
	clients = clients[:min(len(clients), ticketstore.MaxRegistrations)]
	known := func(id string) bool { _, known := m.Registered[id]; return known }
	if !slices.ContainsFunc(clients, func(id string) bool { return !known(id) }) {
		return false
	}
	all := append(slices.Clone(m.Clients), clients...)
	slices.Sort(all)
	// What does not fit is a matter of the next call.
	if all = slices.Compact(all); len(all) <= ticketstore.MaxRegistrations {
		m.Clients = all
	}
	return true
}

// registered is what a client has registered by the time of an ending, as far as that says so, or else had
// when it last used the session.
func registered(e *logout.Ending, client string, use *records.ClientUse) ticketstore.Registration {
	if now := e.Registered[client]; now != nil {
		return *now
	}
	return ticketstore.Registration{
		Notify: use.GetNotify(), Coordinated: use.GetCoordinated(), Muted: ticketstore.Ends(use.GetMuted()),
	}
}

// Concerns reports whether an ending is about a subject.
func Concerns(e *logout.Ending, subject string) bool {
	return e.SubjectID == "" || subject == e.SubjectID
}

// Ends reports whether an ending ends a session. One that expires must be over still: it may have slid since
// it was found due.
func Ends(e *logout.Ending, s *records.Session, now time.Time) bool {
	return Concerns(e, s.GetSubjectId()) && (e.Reason != logout.SessionExpiration || !Live(s, now))
}

// Names reports whether an ending is about this client.
func Names(e *logout.Ending, client string) bool {
	return e.ClientIDs == nil || slices.Contains(e.ClientIDs, client)
}

// Repeated reports whether an ending that keeps the session has changed this client's row already, before a
// crash after which the ending is repeated.
func Repeated(e *logout.Ending, use *records.ClientUse) bool {
	return e.OperationID != "" && use.GetLastEnding() == e.OperationID
}

// ClientEnd is what the end of a session means for one of its clients.
type ClientEnd struct {
	// LeftAlone: the ending is about others.
	LeftAlone bool
	// Notification is what to queue for it, nil where it is not notified.
	Notification *records.Notification
	// Consents: those of the subject to the client go. Without a sid all of them go, by themselves.
	Consents bool
}

// EndClient decides what an ending of a session means for a client (rules 6 and 7), whether the session stays
// or goes.
func EndClient(
	e *logout.Ending, s *records.Session, client string, use *records.ClientUse, now time.Time,
) (end ClientEnd) {
	switch {
	case use.GetDetached():
		return end
	case !Names(e, client):
		end.LeftAlone = true
		return end
	case notifies(e, registered(e, client, use)):
		end.Notification = notify(e, s, client, use, now)
	}
	end.Consents = !e.KeepConsents && e.SessionID != ""
	return end
}

// notifies reports whether an ending notifies a client.
func notifies(e *logout.Ending, r ticketstore.Registration) bool {
	return r.Notify && !e.SkipNotification && (r.Coordinated || !e.CoordinatedOnly) &&
		!r.Muted.Has(e.Reason.Ends())
}

func notify(
	e *logout.Ending, s *records.Session, client string, use *records.ClientUse, now time.Time,
) *records.Notification {
	n := &records.Notification{
		Issuer: s.GetIssuer(), ClientId: client, SubjectId: s.GetSubjectId(), SessionId: s.GetSessionId(),
		Reason: string(e.Reason), State: string(logout.Pending), Queued: records.Nanos(now),
		NextAttempt: records.Nanos(now), Due: records.Nanos(now),
		GiveUpAt: records.Nanos(now.Add(logout.RetryWindow)),
	}
	// Its sign-in may not have been finished when the first one comes.
	if now.Sub(records.Moment(use.GetLastUsed())) <= logout.RecentUse {
		n.Again = records.Nanos(now.Add(logout.SecondDelivery))
	}
	return n
}

// Affects reports whether an ending that keeps a session changes the row of a client.
func Affects(e *logout.Ending, client string, use *records.ClientUse) bool {
	return !use.GetDetached() && Names(e, client)
}

// EndTokens changes the row of a client of a session that an ending keeps, and reports whether it did. A
// higher token number revokes the client's tokens (rule 1). A client that the ending names is detached (rule
// 6), unless the ending skips the notification that it has registered for.
func EndTokens(e *logout.Ending, client string, use *records.ClientUse) bool {
	if !Affects(e, client, use) {
		return false
	}
	use.LastEnding = e.OperationID
	if !e.KeepTokens {
		use.TokenNumber++
	}
	use.Detached = e.ClientIDs != nil && (!e.SkipNotification || !registered(e, client, use).Notify)
	return true
}

// EndedBy is the record that takes the place of a session, without its clients: see AddSurvivors.
func EndedBy(e *logout.Ending, s *records.Session, now time.Time) *records.Ended {
	return &records.Ended{SubjectId: s.GetSubjectId(), When: records.Nanos(now), Reason: string(e.Reason)}
}

// AddSurvivors adds to an ended record which tokens of a client outlive the session (rule 2). A removal
// narrowed to some clients leaves those of the others alone. Those of a client that coordinates end with the
// session, also offline ones.
func AddSurvivors(ended *records.Ended, e *logout.Ending, client string, use *records.ClientUse) {
	var survivors records.Survivors
	switch {
	case e.KeepTokens, !Names(e, client):
		survivors = records.Survivors_SURVIVORS_ALL
	case e.KeepOffline && !registered(e, client, use).Coordinated:
		survivors = records.Survivors_SURVIVORS_OFFLINE
	default:
		return
	}
	ended.Survivors = max(ended.Survivors, survivors)
	ended.Clients = append(ended.Clients, &records.EndedClient{
		ClientId: client, TokenNumber: use.GetTokenNumber(), Survivors: survivors,
	})
}

// Strict reports whether an ending revokes tokens without exception, those that have outlived a session
// before among them.
func Strict(e *logout.Ending) bool {
	return !e.KeepTokens && !e.KeepOffline && e.Reason != logout.SessionExpiration
}

// RevokeSurvivors takes from an ended record (nil: there is none) what an ending does not let survive any
// longer, and reports whether it did.
func RevokeSurvivors(e *logout.Ending, ended *records.Ended) bool {
	if ended.GetSurvivors() == records.Survivors_SURVIVORS_UNSPECIFIED || !Strict(e) ||
		!Concerns(e, ended.GetSubjectId()) {
		return false
	}
	ended.Survivors = records.Survivors_SURVIVORS_UNSPECIFIED
	for _, client := range ended.Clients {
		if Names(e, client.GetClientId()) {
			client.Survivors = records.Survivors_SURVIVORS_UNSPECIFIED
		}
		ended.Survivors = max(ended.Survivors, client.GetSurvivors())
	}
	return true
}

// RevokesUnbound reports whether an ending without a sid, begun at a moment, revokes a grant that no session
// judges: a subject's tokens without a session and its consents. Those created while the ending was under way
// stay.
func RevokesUnbound(e *logout.Ending, t grantstore.Type, g *records.Grant, begun time.Time) bool {
	switch {
	case g.GetSubjectId() == "", !Concerns(e, g.GetSubjectId()), !Names(e, g.GetClientId()),
		g.GetConsumed() != 0, records.Moment(g.GetCreated()).After(begun.Add(ClockSkew)):
		return false
	case t == grantstore.UserConsent:
		return !e.KeepConsents
	}
	return t.IsToken() && g.GetSessionId() == "" && !e.KeepTokens
}

// PurgedByEnd reports whether the row of a grant is deleted after the end of its session: where the session,
// or what is left of it, does not let it live. It counts as revoked if it was a token in use until then. A
// session that is over but has not ended has not decided yet what outlives it.
func PurgedByEnd(
	t grantstore.Type, g *records.Grant, standing *Standing, now time.Time,
) (purged, revoked bool) {
	if !t.IsToken() || allowed(t, g, standing) {
		return false, false
	}
	return true, g.GetConsumed() == 0 && !Expired(g, now)
}
