package rules

// Rules 1, 6 and 7: the effect of a session's end on its clients, tokens and consents.

import (
	"cmp"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// ClockSkew is the maximum difference between the clocks of hosts that share a store.
const ClockSkew = time.Minute

// Expiration returns the ending of a session that a sweep found due (rule 8).
func Expiration(sid string, sweep *logout.Sweep) *logout.Ending {
	return &logout.Ending{
		SessionID: sid, Reason: logout.SessionExpiration, KeepConsents: true, KeepOffline: sweep.KeepOffline,
		SkipNotification: sweep.SkipNotification, CoordinatedOnly: sweep.CoordinatedOnly,
		Registered: sweep.Registered,
	}
}

// Displacement returns the ending of a session that makes room for a new session of its subject.
func Displacement(sid string, limit *ticketstore.Limit) *logout.Ending {
	return &logout.Ending{
		SessionID: sid, Reason: logout.Terminated, KeepConsents: true, KeepOffline: limit.KeepOffline,
		Registered: limit.Registered,
	}
}

// Missing collects the clients whose registrations the caller of an ending or a sweep must supply first.
type Missing struct {
	// Registered are the registrations that the caller supplied.
	Registered ticketstore.Registrations
	// Clients are the clients to ask for: all clients of each skipped session, so that it ends even if the
	// caller then supplies only these.
	Clients []string
}

// Collect adds a session's clients to Clients if the registrations of some are missing, and reports whether
// they are: then the session must be skipped for now. clients are sorted; those beyond
// ticketstore.MaxRegistrations are not asked for.
func (m *Missing) Collect(clients []string) bool {
	clients = clients[:min(len(clients), ticketstore.MaxRegistrations)]
	known := func(id string) bool { _, known := m.Registered[id]; return known }
	if !slices.ContainsFunc(clients, func(id string) bool { return !known(id) }) {
		return false
	}
	all := append(slices.Clone(m.Clients), clients...)
	slices.Sort(all)
	// What does not fit is asked for by the next call.
	if all = slices.Compact(all); len(all) <= ticketstore.MaxRegistrations {
		m.Clients = all
	}
	return true
}

// registered returns a client's registration: the current one if the ending has it, else that of its last use
// of the session.
func registered(e *logout.Ending, client string, use *records.ClientUse) ticketstore.Registration {
	if now := e.Registered[client]; now != nil {
		return *now
	}
	return ticketstore.Registration{
		Notify: use.GetNotify(), Coordinated: use.GetCoordinated(), Muted: ticketstore.Ends(use.GetMuted()),
	}
}

// Concerns reports whether an ending includes a subject.
func Concerns(e *logout.Ending, subject string) bool {
	return e.SubjectID == "" || subject == e.SubjectID
}

// Ends reports whether an ending ends a session. An expiring session must still be due: it may have slid
// since it was found.
func Ends(e *logout.Ending, s *records.Session, now time.Time) bool {
	return Concerns(e, s.GetSubjectId()) && (e.Reason != logout.SessionExpiration || !Live(s, now))
}

// Names reports whether an ending includes a client.
func Names(e *logout.Ending, client string) bool {
	return e.ClientIDs == nil || slices.Contains(e.ClientIDs, client)
}

// Repeated reports whether an ending that keeps the session has already changed this client's row, before a
// crash after which it is repeated.
func Repeated(e *logout.Ending, use *records.ClientUse) bool {
	return e.OperationID != "" && use.GetLastEnding() == e.OperationID
}

// ClientEnd is the effect of a session's end on one of its clients.
type ClientEnd struct {
	// LeftAlone: the ending does not include the client.
	LeftAlone bool
	// Notification is the notification to enqueue, or nil.
	Notification *records.Notification
	// Consents: the subject's consents to the client are revoked. Without a sid all of the subject's consents
	// are revoked separately.
	Consents bool
}

// EndClient decides the effect of an ending of a session on a client (rules 6 and 7), whether or not the
// session is kept.
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

// notifies reports whether an ending notifies a client with that registration.
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
	// The client may not have completed its sign-in when the first notification arrives. In a session that is
	// kept it may have signed in anew when the second one would.
	if !e.KeepSession && now.Sub(records.Moment(use.GetLastUsed())) <= logout.RecentUse {
		n.Again = records.Nanos(now.Add(logout.SecondDelivery))
	}
	return n
}

// Affects reports whether an ending that keeps a session changes the row of a client.
func Affects(e *logout.Ending, client string, use *records.ClientUse) bool {
	return !use.GetDetached() && Names(e, client)
}

// EndTokens changes the row of a client of a session that an ending keeps, and reports whether it did. A
// higher token number revokes the client's tokens (rule 1). A client named by the ending is detached (rule
// 6), unless the ending skips a notification that the client is registered for.
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

// EndedBy returns the record that replaces a session, without its clients: see AddSurvivors.
func EndedBy(e *logout.Ending, s *records.Session, now time.Time) *records.Ended {
	return &records.Ended{SubjectId: s.GetSubjectId(), When: records.Nanos(now), Reason: string(e.Reason)}
}

// AddSurvivors records in an ended record which tokens of a client outlive the session (rule 2). A removal
// narrowed to some clients keeps the tokens of the others. All tokens of a client that coordinates its
// lifetime with the session end with it, including offline ones.
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

// Strict reports whether an ending revokes tokens without exception, including those that already outlive a
// session.
func Strict(e *logout.Ending) bool {
	return !e.KeepTokens && !e.KeepOffline && e.Reason != logout.SessionExpiration
}

// RevokeSurvivors removes from an ended record (nil: there is none) the survivors that an ending revokes, and
// reports whether it changed the record.
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

// RevokesUnbound reports whether an ending without a sid, begun at a moment or at its AsOf, revokes a grant
// that is not judged by a session: a subject's tokens without a session and its consents. Grants created
// since the ending began are kept, unless they were issued in exchange for an older one.
func RevokesUnbound(e *logout.Ending, t grantstore.Type, g *records.Grant, begun time.Time) bool {
	if e.AsOf.After(begun) {
		begun = e.AsOf
	}
	switch {
	case g.GetSubjectId() == "", !Concerns(e, g.GetSubjectId()), !Names(e, g.GetClientId()),
		g.GetConsumed() != 0,
		records.Moment(cmp.Or(g.GetBegan(), g.GetCreated())).After(begun.Add(ClockSkew)):
		return false
	case t == grantstore.UserConsent:
		return !e.KeepConsents
	}
	return t.IsToken() && g.GetSessionId() == "" && !e.KeepTokens
}

// PurgedByEnd reports whether the row of a grant is deleted after the end of its session, because the session
// or its ended record does not let it live. revoked is true if it was a token in use. A session that is
// expired but has not ended does not yet determine what outlives it.
func PurgedByEnd(
	t grantstore.Type, g *records.Grant, standing *Standing, now time.Time,
) (purged, revoked bool) {
	if !t.IsToken() || allowed(t, g, standing) {
		return false, false
	}
	return true, g.GetConsumed() == 0 && !Expired(g, now)
}
