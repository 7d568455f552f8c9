package wire

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// FromEnding returns the request of an ending.
func FromEnding(e *logout.Ending, now time.Time) *pb.EndSessionsRequest {
	m := &pb.EndSessionsRequest{
		OperationId: e.OperationID, SubjectId: e.SubjectID, SessionId: e.SessionID, Reason: string(e.Reason),
		KeepSession: e.KeepSession, KeepTokens: e.KeepTokens, KeepOffline: e.KeepOffline, KeepConsents: e.KeepConsents,
		SkipNotification: e.SkipNotification, CoordinatedOnly: e.CoordinatedOnly, DryRun: e.DryRun, Now: FromTime(now), All: e.All,
	}
	if e.ClientIDs != nil {
		m.Clients = &pb.ClientSelection{ClientIds: e.ClientIDs}
	}
	return m
}

// ToEnding returns the ending of a request. A present and empty selection of clients stays one, for Validate to refuse.
func ToEnding(m *pb.EndSessionsRequest) *logout.Ending {
	e := &logout.Ending{
		OperationID: m.GetOperationId(), SubjectID: m.GetSubjectId(), SessionID: m.GetSessionId(), Reason: logout.Reason(m.GetReason()),
		KeepSession: m.GetKeepSession(), KeepTokens: m.GetKeepTokens(), KeepOffline: m.GetKeepOffline(),
		KeepConsents: m.GetKeepConsents(), SkipNotification: m.GetSkipNotification(), CoordinatedOnly: m.GetCoordinatedOnly(),
		DryRun: m.GetDryRun(), All: m.GetAll(),
	}
	if m.GetClients() != nil {
		e.ClientIDs = append([]string{}, m.GetClients().GetClientIds()...)
	}
	return e
}

// FromResult returns the answer of an ending; nil stays nil.
func FromResult(r *logout.Result) *pb.EndSessionsResponse {
	if r == nil {
		return nil
	}
	return &pb.EndSessionsResponse{
		SessionsRemoved: int64(r.SessionsRemoved), GrantsRevoked: int64(r.GrantsRevoked), ConsentsRevoked: int64(r.ConsentsRevoked),
		NotificationsQueued: int64(r.NotificationsQueued), ClientsLeftAlone: r.ClientsLeftAlone, Ended: convert(r.Ended, fromEnded),
		JobId: r.JobID,
	}
}

func fromEnded(e logout.EndedSession) *pb.EndedSession {
	return &pb.EndedSession{SessionId: e.SessionID, SubjectId: e.SubjectID}
}

func toEnded(m *pb.EndedSession) logout.EndedSession {
	return logout.EndedSession{SessionID: m.GetSessionId(), SubjectID: m.GetSubjectId()}
}

// ToResult returns the result of an answer.
func ToResult(m *pb.EndSessionsResponse) *logout.Result {
	return &logout.Result{
		SessionsRemoved: int(m.GetSessionsRemoved()), GrantsRevoked: int(m.GetGrantsRevoked()), ConsentsRevoked: int(m.GetConsentsRevoked()),
		NotificationsQueued: int(m.GetNotificationsQueued()), ClientsLeftAlone: m.GetClientsLeftAlone(),
		Ended: convert(m.GetEnded(), toEnded), JobID: m.GetJobId(),
	}
}

// FromSweep returns the request of a sweep.
func FromSweep(s logout.Sweep, now time.Time) *pb.EndDueSessionsRequest {
	return &pb.EndDueSessionsRequest{
		Limit: FromLimit(s.Limit), KeepOffline: s.KeepOffline, SkipNotification: s.SkipNotification, CoordinatedOnly: s.CoordinatedOnly,
		Now: FromTime(now),
	}
}

// ToSweep returns the sweep of a request.
func ToSweep(m *pb.EndDueSessionsRequest) logout.Sweep {
	return logout.Sweep{
		Limit: int(m.GetLimit()), KeepOffline: m.GetKeepOffline(), SkipNotification: m.GetSkipNotification(), CoordinatedOnly: m.GetCoordinatedOnly(),
	}
}

// FromSwept returns the answer of a sweep; nil stays nil.
func FromSwept(s *logout.SweepResult) *pb.EndDueSessionsResponse {
	if s == nil {
		return nil
	}
	return &pb.EndDueSessionsResponse{
		Ended: FromLimit(s.Ended), NotificationsQueued: int64(s.NotificationsQueued), Next: FromTime(s.Next),
		Sessions: convert(s.Sessions, fromEnded), PurgeLeft: s.PurgeLeft,
	}
}

// ToSwept returns what was swept.
func ToSwept(m *pb.EndDueSessionsResponse) (*logout.SweepResult, error) {
	var r reader
	swept := &logout.SweepResult{
		Ended: int(m.GetEnded()), NotificationsQueued: int(m.GetNotificationsQueued()), Next: r.time("next", m.GetNext()),
		Sessions: convert(m.GetSessions(), toEnded), PurgeLeft: m.GetPurgeLeft(),
	}
	return swept, r.err
}

// FromNotification returns the message of a notice; nil stays nil.
func FromNotification(n *logout.Notification) *pb.Notification {
	if n == nil {
		return nil
	}
	return &pb.Notification{
		Id: n.ID, Issuer: n.Issuer, ClientId: n.ClientID, SubjectId: n.SubjectID, SessionId: n.SessionID, Reason: string(n.Reason),
		State: string(n.State), Queued: FromTime(n.Queued), Attempts: FromLimit(n.Attempts), NextAttempt: FromTime(n.NextAttempt),
		GiveUpAt: FromTime(n.GiveUpAt), LastAttempt: FromTime(n.LastAttempt), LastError: n.LastError, Again: FromTime(n.Again),
	}
}

// ToNotification returns the notice of a message.
func ToNotification(m *pb.Notification) (*logout.Notification, error) {
	var r reader
	n := r.notification(m)
	return &n, r.err
}

func (r *reader) notification(m *pb.Notification) logout.Notification {
	if m == nil {
		r.fail(ticketstore.Invalidf("notification", "is missing"))
		return logout.Notification{}
	}
	return logout.Notification{
		ID: m.GetId(), Issuer: m.GetIssuer(), ClientID: m.GetClientId(), SubjectID: m.GetSubjectId(), SessionID: m.GetSessionId(),
		Reason: logout.Reason(m.GetReason()), State: logout.State(m.GetState()), Queued: r.time("queued", m.GetQueued()),
		Attempts: int(m.GetAttempts()), NextAttempt: r.time("next_attempt", m.GetNextAttempt()),
		GiveUpAt: r.time("give_up_at", m.GetGiveUpAt()), LastAttempt: r.time("last_attempt", m.GetLastAttempt()),
		LastError: m.GetLastError(), Again: r.time("again", m.GetAgain()),
	}
}

// FromClaim returns the request of a claim.
func FromClaim(c logout.Claim, now time.Time) *pb.ClaimDeliveriesRequest {
	return &pb.ClaimDeliveriesRequest{
		Limit: FromLimit(c.Limit), PerClient: FromLimit(c.PerClient), Busy: c.Busy, Lease: FromDuration(c.Lease), Now: FromTime(now),
	}
}

// ToClaim returns the claim of a request.
func ToClaim(m *pb.ClaimDeliveriesRequest) (logout.Claim, error) {
	var r reader
	claim := logout.Claim{
		Limit: int(m.GetLimit()), PerClient: int(m.GetPerClient()), Busy: m.GetBusy(), Lease: r.duration("lease", m.GetLease()),
	}
	return claim, r.err
}

// FromClaimed returns the answer of a claim; nil stays nil.
func FromClaimed(c *logout.ClaimResult) *pb.ClaimDeliveriesResponse {
	if c == nil {
		return nil
	}
	work := convertPointers(c.Deliveries, func(d *logout.Delivery) *pb.Delivery {
		return &pb.Delivery{Notification: FromNotification(&d.Notification), Claim: d.Claim}
	})
	return &pb.ClaimDeliveriesResponse{Work: work, Next: FromTime(c.Next)}
}

// ToClaimed returns what was claimed.
func ToClaimed(m *pb.ClaimDeliveriesResponse) (*logout.ClaimResult, error) {
	var r reader
	work := convert(m.GetWork(), func(d *pb.Delivery) logout.Delivery {
		return logout.Delivery{Notification: r.notification(d.GetNotification()), Claim: d.GetClaim()}
	})
	return &logout.ClaimResult{Deliveries: work, Next: r.time("next", m.GetNext())}, r.err
}

// FromSettlement returns the request that settles a delivery.
func FromSettlement(id string, claim uint64, outcome logout.Outcome, now time.Time) *pb.SettleDeliveryRequest {
	return &pb.SettleDeliveryRequest{
		Id: id, Claim: claim, State: string(outcome.State), NextAttempt: FromTime(outcome.NextAttempt),
		LastError: outcome.LastError, Now: FromTime(now),
	}
}

// ToOutcome returns the outcome of a request.
func ToOutcome(m *pb.SettleDeliveryRequest) (logout.Outcome, error) {
	var r reader
	outcome := logout.Outcome{
		State: logout.State(m.GetState()), NextAttempt: r.time("next_attempt", m.GetNextAttempt()), LastError: m.GetLastError(),
	}
	return outcome, r.err
}

// FromDeliveryQuery returns the request of a query.
func FromDeliveryQuery(q logout.NotificationQuery) *pb.QueryDeliveriesRequest {
	return &pb.QueryDeliveriesRequest{
		Filter: fromDeliveryFilter(q.Filter), Order: string(q.Order), Count: FromLimit(q.Count), ResultsToken: q.ResultsToken, Prior: q.Prior,
	}
}

// ToDeliveryQuery returns the query of a request.
func ToDeliveryQuery(m *pb.QueryDeliveriesRequest) logout.NotificationQuery {
	return logout.NotificationQuery{
		Filter: toDeliveryFilter(m.GetFilter()), Order: ticketstore.Order(m.GetOrder()), Count: int(m.GetCount()), ResultsToken: m.GetResultsToken(), Prior: m.GetPrior(),
	}
}

// FromDeliveryPage returns the answer of a query; nil stays nil.
func FromDeliveryPage(p *logout.NotificationPage) *pb.QueryDeliveriesResponse {
	if p == nil {
		return nil
	}
	return &pb.QueryDeliveriesResponse{
		Deliveries: convertPointers(p.Notifications, FromNotification), ResultsToken: p.ResultsToken, HasPrev: p.HasPrev, HasNext: p.HasNext,
	}
}

// ToDeliveryPage returns the page of an answer.
func ToDeliveryPage(m *pb.QueryDeliveriesResponse) (*logout.NotificationPage, error) {
	var r reader
	page := &logout.NotificationPage{
		Notifications: convert(m.GetDeliveries(), r.notification), ResultsToken: m.GetResultsToken(),
		HasPrev: m.GetHasPrev(), HasNext: m.GetHasNext(),
	}
	return page, r.err
}
