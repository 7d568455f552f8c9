package wire

// Messages of LogoutService.

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// FromEnding returns the request of an ending.
func FromEnding(e *logout.Ending, now time.Time) *pb.EndSessionsRequest {
	return &pb.EndSessionsRequest{
		OperationId: e.OperationID, Ending: records.FromEnding(e, now), DryRun: e.DryRun,
		AskRegistered: e.AskRegistered,
	}
}

// ToEnding returns the ending of a request. Narrowing without clients is preserved, so that Validate refuses
// it (rule 6).
func ToEnding(m *pb.EndSessionsRequest) *logout.Ending {
	e := records.EndingOf(m.GetOperationId(), m.GetEnding())
	e.DryRun, e.AskRegistered = m.GetDryRun(), m.GetAskRegistered()
	return e
}

// FromResult returns the answer of an ending.
func FromResult(r *logout.Result) *pb.EndSessionsResponse {
	return &pb.EndSessionsResponse{
		Result: records.FromResult(r), JobId: r.JobID, MissingClients: r.MissingClients,
	}
}

// ToResult returns the result of an answer.
func ToResult(m *pb.EndSessionsResponse) (*logout.Result, error) {
	if m.GetResult() == nil {
		return nil, ticketstore.Invalidf("result", "is missing")
	}
	r := records.ResultOf(m.GetResult())
	r.JobID, r.MissingClients = m.GetJobId(), m.GetMissingClients()
	return r, nil
}

// FromSweep returns the request of a sweep.
func FromSweep(s logout.Sweep, now time.Time) *pb.EndDueSessionsRequest {
	return &pb.EndDueSessionsRequest{
		Limit: FromLimit(s.Limit), KeepOffline: s.KeepOffline, SkipNotification: s.SkipNotification,
		CoordinatedOnly: s.CoordinatedOnly, Now: records.Nanos(now),
		Registered: records.FromRegistrations(s.Registered), AskRegistered: s.AskRegistered,
	}
}

// ToSweep returns the sweep of a request.
func ToSweep(m *pb.EndDueSessionsRequest) logout.Sweep {
	return logout.Sweep{
		Limit: int(m.GetLimit()), KeepOffline: m.GetKeepOffline(), SkipNotification: m.GetSkipNotification(),
		CoordinatedOnly: m.GetCoordinatedOnly(),
		Registered:      records.RegistrationsOf(m.GetRegistered()), AskRegistered: m.GetAskRegistered(),
	}
}

// FromSweepResult returns the answer of a sweep.
func FromSweepResult(s *logout.SweepResult) *pb.EndDueSessionsResponse {
	return &pb.EndDueSessionsResponse{
		Ended: FromLimit(s.Ended), NotificationsQueued: int64(s.NotificationsQueued),
		Next:     records.Nanos(s.Next),
		Sessions: records.FromEnded(s.Sessions), PurgeLeft: s.PurgeLeft, MissingClients: s.MissingClients,
	}
}

// ToSweepResult returns the result of a sweep.
func ToSweepResult(m *pb.EndDueSessionsResponse) (*logout.SweepResult, error) {
	return &logout.SweepResult{
		Ended: int(m.GetEnded()), NotificationsQueued: int(m.GetNotificationsQueued()),
		Next:     records.Moment(m.GetNext()),
		Sessions: records.EndedOf(m.GetSessions()), PurgeLeft: m.GetPurgeLeft(),
		MissingClients: m.GetMissingClients(),
	}, nil
}

// FromNotification returns the record of a notification, with its id; nil stays nil.
func FromNotification(n *logout.Notification) *pb.NotificationRecord {
	if n == nil {
		return nil
	}
	return &pb.NotificationRecord{Id: n.ID, Notification: records.FromNotification(n)}
}

// ToNotification returns the notification of a record.
func ToNotification(m *pb.NotificationRecord) (*logout.Notification, error) {
	var r reader
	n := r.notification(m)
	return &n, r.err
}

func (r *reader) notification(m *pb.NotificationRecord) logout.Notification {
	if m.GetNotification() == nil {
		r.fail(ticketstore.Invalidf("notification", "is missing"))
	}
	return *records.NotificationOf(m.GetId(), m.GetNotification())
}

// FromClaim returns the request of a claim.
func FromClaim(c logout.Claim, now time.Time) *pb.ClaimDeliveriesRequest {
	return &pb.ClaimDeliveriesRequest{
		Limit: FromLimit(c.Limit), PerClient: FromLimit(c.PerClient), Busy: c.Busy, Lease: int64(c.Lease),
		Now: records.Nanos(now),
	}
}

// ToClaim returns the claim of a request.
func ToClaim(m *pb.ClaimDeliveriesRequest) logout.Claim {
	return logout.Claim{
		Limit: int(m.GetLimit()), PerClient: int(m.GetPerClient()), Busy: m.GetBusy(),
		Lease: time.Duration(m.GetLease()),
	}
}

// FromClaimResult returns the answer of a claim.
func FromClaimResult(c *logout.ClaimResult) *pb.ClaimDeliveriesResponse {
	deliveries := convertPointers(c.Deliveries, func(d *logout.Delivery) *pb.NotificationRecord {
		m := FromNotification(&d.Notification)
		m.Notification.Claim = d.Claim
		return m
	})
	return &pb.ClaimDeliveriesResponse{Deliveries: deliveries, Next: records.Nanos(c.Next)}
}

// ToClaimResult returns the result of a claim.
func ToClaimResult(m *pb.ClaimDeliveriesResponse) (*logout.ClaimResult, error) {
	var r reader
	deliveries := convert(m.GetDeliveries(), func(n *pb.NotificationRecord) logout.Delivery {
		return logout.Delivery{Notification: r.notification(n), Claim: n.GetNotification().GetClaim()}
	})
	return &logout.ClaimResult{Deliveries: deliveries, Next: records.Moment(m.GetNext())}, r.err
}

// FromSettlement returns the request that settles a delivery.
func FromSettlement(
	id string, claim uint64, outcome logout.Outcome, now time.Time,
) *pb.SettleDeliveryRequest {
	return &pb.SettleDeliveryRequest{
		Id: id, Claim: claim, State: string(outcome.State), NextAttempt: records.Nanos(outcome.NextAttempt),
		LastError: outcome.LastError, Now: records.Nanos(now),
	}
}

// ToOutcome returns the outcome of a request.
func ToOutcome(m *pb.SettleDeliveryRequest) logout.Outcome {
	return logout.Outcome{
		State: logout.State(m.GetState()), NextAttempt: records.Moment(m.GetNextAttempt()),
		LastError: m.GetLastError(),
	}
}

// FromNotificationQuery returns the request of a query.
func FromNotificationQuery(q logout.NotificationQuery) *pb.QueryNotificationsRequest {
	return &pb.QueryNotificationsRequest{
		Filter: fromNotificationFilter(q.Filter), Order: string(q.Order), Count: FromLimit(q.Count),
		ResultsToken: q.ResultsToken, Prior: q.Prior,
	}
}

// ToNotificationQuery returns the query of a request.
func ToNotificationQuery(m *pb.QueryNotificationsRequest) logout.NotificationQuery {
	return logout.NotificationQuery{
		Filter: toNotificationFilter(m.GetFilter()), Order: ticketstore.Order(m.GetOrder()),
		Count:        int(m.GetCount()),
		ResultsToken: m.GetResultsToken(), Prior: m.GetPrior(),
	}
}

// FromNotificationPage returns the answer of a query.
func FromNotificationPage(p *logout.NotificationPage) *pb.QueryNotificationsResponse {
	return &pb.QueryNotificationsResponse{
		Notifications: convertPointers(p.Notifications, FromNotification), ResultsToken: p.ResultsToken,
		HasPrev: p.HasPrev, HasNext: p.HasNext,
	}
}

// ToNotificationPage returns the page of an answer.
func ToNotificationPage(m *pb.QueryNotificationsResponse) (*logout.NotificationPage, error) {
	var r reader
	page := &logout.NotificationPage{
		Notifications: convert(m.GetNotifications(), r.notification), ResultsToken: m.GetResultsToken(),
		HasPrev: m.GetHasPrev(), HasNext: m.GetHasNext(),
	}
	return page, r.err
}

// FromJob returns the answer about a job.
func FromJob(j *logout.Job) *pb.GetJobResponse {
	return &pb.GetJobResponse{Id: j.ID, Job: records.FromJob(j)}
}

// ToJob returns the job of an answer.
func ToJob(m *pb.GetJobResponse) (*logout.Job, error) {
	if m.GetJob() == nil {
		return nil, ticketstore.Invalidf("job", "is missing")
	}
	return records.JobOf(m.GetId(), m.GetJob()), nil
}

// FromRetry returns the request of a retry.
func FromRetry(r logout.Retry, now time.Time) *pb.RetryNotificationsRequest {
	m := &pb.RetryNotificationsRequest{
		Id: r.ID, Limit: FromLimit(r.Limit), After: r.After, Now: records.Nanos(now),
	}
	if r.Filter != (logout.NotificationFilter{}) {
		m.Filter = fromNotificationFilter(r.Filter)
	}
	return m
}

// ToRetry returns the retry of a request.
func ToRetry(m *pb.RetryNotificationsRequest) logout.Retry {
	return logout.Retry{
		ID: m.GetId(), Filter: toNotificationFilter(m.GetFilter()), Limit: int(m.GetLimit()),
		After: m.GetAfter(),
	}
}

// FromRetryResult returns the answer of a retry.
func FromRetryResult(r *logout.RetryResult) *pb.RetryNotificationsResponse {
	return &pb.RetryNotificationsResponse{
		Notification: FromNotification(r.Notification), Count: FromLimit(r.Count), Next: r.Next,
	}
}

// ToRetryResult returns the result of a retry.
func ToRetryResult(m *pb.RetryNotificationsResponse) (*logout.RetryResult, error) {
	result := &logout.RetryResult{Count: int(m.GetCount()), Next: m.GetNext()}
	if m.GetNotification() == nil {
		return result, nil
	}
	n, err := ToNotification(m.GetNotification())
	result.Notification = n
	return result, err
}

func fromNotificationFilter(f logout.NotificationFilter) *pb.NotificationFilter {
	return &pb.NotificationFilter{State: string(f.State), ClientId: f.ClientID, SessionId: f.SessionID}
}

func toNotificationFilter(m *pb.NotificationFilter) logout.NotificationFilter {
	return logout.NotificationFilter{
		State: logout.State(m.GetState()), ClientID: m.GetClientId(), SessionID: m.GetSessionId(),
	}
}
