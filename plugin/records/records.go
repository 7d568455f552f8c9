// Package records is the schema of a store's records, generated from
// plugin/proto/sessions/records/v1/records.proto, and their conversions from and to the domain. Engines store
// these messages as rows; moves and backups carry them.
package records

import (
	"crypto/sha256"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// minMoment and maxMoment are the earliest and latest times that fit into a record: times beyond are clamped.
var (
	minMoment = time.Unix(0, math.MinInt64).UTC()
	maxMoment = time.Unix(0, math.MaxInt64).UTC()
)

// Nanos returns a time as stored: nanoseconds since 1970 UTC, 0 for the zero time.
func Nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.After(maxMoment):
		return math.MaxInt64
	case t.Before(minMoment):
		return math.MinInt64
	case t.UnixNano() == 0:
		return 1 // 0 means no time
	}
	return t.UnixNano()
}

// Moment is the reverse of Nanos.
func Moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// types are the grant types by their number in the schema.
var types = [...]grantstore.Type{
	1: grantstore.AuthorizationCode, grantstore.OpenIDRequest, grantstore.PKCERequest,
	grantstore.RefreshToken,
	grantstore.ReferenceToken, grantstore.UserConsent, grantstore.PushedAuthorization, grantstore.JTI,
}

var numbers = func() map[grantstore.Type]byte {
	of := make(map[grantstore.Type]byte, len(types))
	for number, t := range types {
		if t != "" {
			of[t] = byte(number)
		}
	}
	return of
}()

// TypeNumber returns the number of a grant type, or 0 if it is unknown.
func TypeNumber(t grantstore.Type) byte { return numbers[t] }

// RefLength is the length of RefBytes.
const RefLength = 1 + sha256.Size

// RefBytes returns the key of a grant's record: its type's number and its key.
func RefBytes(ref grantstore.Ref) []byte {
	b := make([]byte, RefLength)
	b[0] = numbers[ref.Type]
	copy(b[1:], ref.Key[:])
	return b
}

// RefOf is the reverse of RefBytes. It reports whether b is the key of a grant's record.
func RefOf[B ~[]byte | ~string](b B) (grantstore.Ref, bool) {
	if len(b) != RefLength || b[0] == 0 || int(b[0]) >= len(types) {
		return grantstore.Ref{}, false
	}
	return grantstore.Ref{Type: types[b[0]], Key: ticketstore.Key([]byte(b[1:]))}, true
}

// FromSession returns a session's record.
func FromSession(s *ticketstore.Session) *Session {
	return &Session{
		Key: s.Key[:], SessionId: s.SessionID, SubjectId: s.SubjectID, DisplayName: s.DisplayName,
		Issuer: s.Issuer, AuthTime: Nanos(s.AuthTime), Acr: s.ACR, Amr: s.AMR, RemoteAddr: s.RemoteAddr,
		UserAgent: s.UserAgent, Created: Nanos(s.Created), Renewed: Nanos(s.Renewed),
		Expires: Nanos(s.Expires), EndsAt: Nanos(s.EndsAt), Version: s.Version, Ticket: s.Ticket,
		Visible: s.Visible,
	}
}

// SessionOf is the reverse of FromSession.
func SessionOf(r *Session) *ticketstore.Session {
	s := SummaryOf(r)
	copy(s.Key[:], r.GetKey())
	s.Ticket = r.GetTicket()
	return s
}

// SummaryOf returns the session as shown in listings, without Key and Ticket.
func SummaryOf(r *Session) *ticketstore.Session {
	return &ticketstore.Session{
		SessionID: r.GetSessionId(), SubjectID: r.GetSubjectId(), DisplayName: r.GetDisplayName(),
		Issuer: r.GetIssuer(), AuthTime: Moment(r.GetAuthTime()), ACR: r.GetAcr(), AMR: r.GetAmr(),
		RemoteAddr: r.GetRemoteAddr(), UserAgent: r.GetUserAgent(), Created: Moment(r.GetCreated()),
		Renewed: Moment(r.GetRenewed()), Expires: Moment(r.GetExpires()), EndsAt: Moment(r.GetEndsAt()),
		Version: r.GetVersion(), Visible: r.GetVisible(),
	}
}

// ClientUseOf returns the use of a session by a client.
func ClientUseOf(client string, r *ClientUse) ticketstore.ClientUse {
	return ticketstore.ClientUse{
		ClientID: client, FirstUsed: Moment(r.GetFirstUsed()), LastUsed: Moment(r.GetLastUsed()),
		Notify: r.GetNotify(), Coordinated: r.GetCoordinated(), TokenNumber: r.GetTokenNumber(),
		Muted: ticketstore.Ends(r.GetMuted()),
	}
}

// FromClientUse returns the record of the use of a session by a client.
func FromClientUse(u *ticketstore.ClientUse) *ClientUse {
	return &ClientUse{
		FirstUsed: Nanos(u.FirstUsed), LastUsed: Nanos(u.LastUsed), Notify: u.Notify,
		Coordinated: u.Coordinated, TokenNumber: u.TokenNumber, Muted: uint32(u.Muted),
	}
}

// FromGrant returns the record of a grant that is not consumed.
func FromGrant(g *grantstore.Grant) *Grant {
	return &Grant{
		RequestId: g.RequestID, SubjectId: g.SubjectID, SessionId: g.SessionID, ClientId: g.ClientID,
		Description: g.Description,
		Created:     Nanos(g.Created), Expires: Nanos(g.Expires), Offline: g.Offline, Data: g.Data,
	}
}

// GrantOf is the reverse of FromGrant.
func GrantOf(ref grantstore.Ref, r *Grant) grantstore.Grant {
	return grantstore.Grant{
		Ref: ref, RequestID: r.GetRequestId(), SubjectID: r.GetSubjectId(), SessionID: r.GetSessionId(),
		ClientID:    r.GetClientId(),
		Description: r.GetDescription(), Created: Moment(r.GetCreated()), Expires: Moment(r.GetExpires()),
		Consumed: Moment(r.GetConsumed()), Offline: r.GetOffline(), Data: r.GetData(),
	}
}

// SessionTimesOf returns the times of a grant's session, or nil if it has ended.
func SessionTimesOf(r *Session) *grantstore.SessionTimes {
	if r == nil {
		return nil
	}
	return &grantstore.SessionTimes{
		Renewed: Moment(r.GetRenewed()), Expires: Moment(r.GetExpires()), EndsAt: Moment(r.GetEndsAt()),
	}
}

// NotificationOf returns the notification of a record.
func NotificationOf(id string, r *Notification) *logout.Notification {
	return &logout.Notification{
		ID: id, Issuer: r.GetIssuer(), ClientID: r.GetClientId(), SubjectID: r.GetSubjectId(),
		SessionID: r.GetSessionId(), Reason: logout.Reason(r.GetReason()),
		State: logout.State(r.GetState()), Queued: Moment(r.GetQueued()), Attempts: int(r.GetAttempts()),
		NextAttempt: Moment(r.GetNextAttempt()), GiveUpAt: Moment(r.GetGiveUpAt()),
		LastAttempt: Moment(r.GetLastAttempt()), LastError: r.GetLastError(), Again: Moment(r.GetAgain()),
	}
}

// FromNotification returns the record of a notification without a claim.
func FromNotification(n *logout.Notification) *Notification {
	return &Notification{
		Issuer: n.Issuer, ClientId: n.ClientID, SubjectId: n.SubjectID, SessionId: n.SessionID,
		Reason: string(n.Reason), State: string(n.State), Queued: Nanos(n.Queued),
		Attempts: int64(n.Attempts), NextAttempt: Nanos(n.NextAttempt), GiveUpAt: Nanos(n.GiveUpAt),
		LastAttempt: Nanos(n.LastAttempt), LastError: n.LastError, Again: Nanos(n.Again),
	}
}

// FromResult returns the record of an ending's result.
func FromResult(r *logout.Result) *EndingResult {
	return &EndingResult{
		SessionsRemoved: int64(r.SessionsRemoved), GrantsRevoked: int64(r.GrantsRevoked),
		ConsentsRevoked: int64(r.ConsentsRevoked), NotificationsQueued: int64(r.NotificationsQueued),
		ClientsLeftAlone: r.ClientsLeftAlone, Ended: FromEnded(r.Ended),
	}
}

// FromEnded returns the records of sessions that an ending has ended, EndedOf the sessions.
func FromEnded(ended []logout.EndedSession) (list []*EndedSession) {
	for _, e := range ended {
		list = append(list, &EndedSession{SessionId: e.SessionID, SubjectId: e.SubjectID})
	}
	return list
}

// EndedOf is the reverse of FromEnded.
func EndedOf(list []*EndedSession) (ended []logout.EndedSession) {
	for _, e := range list {
		ended = append(ended, logout.EndedSession{SessionID: e.GetSessionId(), SubjectID: e.GetSubjectId()})
	}
	return ended
}

// ResultOf is the reverse of FromResult.
func ResultOf(r *EndingResult) *logout.Result {
	return &logout.Result{
		Ended: EndedOf(r.GetEnded()), SessionsRemoved: int(r.GetSessionsRemoved()),
		GrantsRevoked: int(r.GetGrantsRevoked()), ConsentsRevoked: int(r.GetConsentsRevoked()),
		NotificationsQueued: int(r.GetNotificationsQueued()), ClientsLeftAlone: r.GetClientsLeftAlone(),
	}
}

// FromEnding returns the record of an ending at now, without DryRun.
func FromEnding(ending *logout.Ending, now time.Time) *Job {
	return &Job{
		Now: Nanos(now), SubjectId: ending.SubjectID, SessionId: ending.SessionID, All: ending.All,
		Narrowed: ending.ClientIDs != nil, ClientIds: ending.ClientIDs, Reason: string(ending.Reason),
		KeepSession: ending.KeepSession, KeepTokens: ending.KeepTokens, KeepOffline: ending.KeepOffline,
		KeepConsents: ending.KeepConsents, SkipNotification: ending.SkipNotification,
		CoordinatedOnly: ending.CoordinatedOnly, Registered: FromRegistrations(ending.Registered),
		AsOf: Nanos(ending.AsOf),
	}
}

// EndingOf is the reverse of FromEnding, for the job with that operation id.
func EndingOf(operationID string, job *Job) *logout.Ending {
	ending := &logout.Ending{
		OperationID: operationID, SubjectID: job.GetSubjectId(), SessionID: job.GetSessionId(),
		All: job.GetAll(), AsOf: Moment(job.GetAsOf()),
		Reason: logout.Reason(job.GetReason()), KeepSession: job.GetKeepSession(),
		KeepTokens:  job.GetKeepTokens(),
		KeepOffline: job.GetKeepOffline(), KeepConsents: job.GetKeepConsents(),
		SkipNotification: job.GetSkipNotification(),
		CoordinatedOnly:  job.GetCoordinatedOnly(),
		Registered:       RegistrationsOf(job.GetRegistered()),
	}
	if job.GetNarrowed() {
		// Rule 6: an empty selection does not mean all clients. Protobuf does not distinguish an empty list
		// from an absent one.
		ending.ClientIDs = append([]string{}, job.GetClientIds()...)
	}
	return ending
}

// FromRegistrations returns the records of clients' registrations, sorted by client id.
func FromRegistrations(registered ticketstore.Registrations) (list []*Registration) {
	for _, id := range slices.Sorted(maps.Keys(registered)) {
		r := &Registration{ClientId: id, Unknown: true}
		if now := registered[id]; now != nil {
			r.Unknown, r.Notify, r.Coordinated = false, now.Notify, now.Coordinated
			r.Muted = uint32(now.Muted)
		}
		list = append(list, r)
	}
	return list
}

// RegistrationsOf is the reverse of FromRegistrations.
func RegistrationsOf(list []*Registration) ticketstore.Registrations {
	if len(list) == 0 {
		return nil
	}
	registered := make(ticketstore.Registrations, len(list))
	for _, r := range list {
		registered[r.GetClientId()] = nil
		if !r.GetUnknown() {
			registered[r.GetClientId()] = &ticketstore.Registration{
				Notify: r.GetNotify(), Coordinated: r.GetCoordinated(),
				// A value that is too large stays so, for Validate to refuse it.
				Muted: ticketstore.Ends(min(r.GetMuted(), math.MaxUint8)),
			}
		}
	}
	return registered
}

// FromJob returns the record of a job's progress, without its ending.
func FromJob(j *logout.Job) *Job {
	return &Job{
		Now: Nanos(j.Started), Finished: Nanos(j.Finished), Phase: j.Phase, Total: int64(j.Total),
		LookedAt: int64(j.Done), Done: FromResult(&j.Result), Error: j.Error,
	}
}

// JobOf returns the job with that operation id.
func JobOf(operationID string, job *Job) *logout.Job {
	state := logout.JobRunning
	switch {
	case job.GetPhase() == "":
		state = logout.JobDone
	case job.GetError() != "":
		state = logout.JobFailed
	}
	return &logout.Job{
		ID: operationID, State: state, Phase: job.GetPhase(), Started: Moment(job.GetNow()),
		Finished: Moment(job.GetFinished()), Total: int(job.GetTotal()), Done: int(job.GetLookedAt()),
		Result: *ResultOf(job.GetDone()), Error: job.GetError(),
	}
}

// FromRemoval returns the record of a removal's result.
func FromRemoval(r *grantstore.RemovalResult) *Removed {
	return &Removed{
		Met: int64(r.Met), GrantsRevoked: int64(r.GrantsRevoked), ConsentsRevoked: int64(r.ConsentsRevoked),
		Next: r.Next,
	}
}

// RemovalOf is the reverse of FromRemoval.
func RemovalOf(r *Removed) *grantstore.RemovalResult {
	return &grantstore.RemovalResult{
		Met: int(r.GetMet()), GrantsRevoked: int(r.GetGrantsRevoked()),
		ConsentsRevoked: int(r.GetConsentsRevoked()),
		Next:            r.GetNext(),
	}
}
