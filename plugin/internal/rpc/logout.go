package rpc

// LogoutService, client and server.

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/logout"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A repeated settlement returns ErrOutdated at worst. A claim is not repeated, because the notifications of
// the first claim would wait for the end of their lease.
var (
	endSessions = method{
		path: pb.LogoutService_EndSessions_FullMethodName, name: "end sessions", again: true, long: true,
	}
	endDueSessions = method{
		path: pb.LogoutService_EndDueSessions_FullMethodName, name: "end due sessions", again: true,
		long: true,
	}
	claimDeliveries = method{
		path: pb.LogoutService_ClaimDeliveries_FullMethodName, name: "claim deliveries",
	}
	settleDelivery = method{
		path: pb.LogoutService_SettleDelivery_FullMethodName, name: "settle delivery", again: true,
	}
	queryNotifications = method{
		path: pb.LogoutService_QueryNotifications_FullMethodName, name: "query notifications", again: true,
	}
	retryNotifications = method{
		path: pb.LogoutService_RetryNotifications_FullMethodName, name: "retry notifications", again: true,
	}
	getJob = method{path: pb.LogoutService_GetJob_FullMethodName, name: "get job", again: true}
)

// Logout is a logout.Store in a plugin.
type Logout struct{ Caller *Caller }

var _ logout.Store = (*Logout)(nil)

// End implements logout.Store. An unknown outcome is resolved by a retry under the same operation id (rule
// 3).
func (l *Logout) End(ctx context.Context, ending *logout.Ending, now time.Time) (*logout.Result, error) {
	if err := ending.Validate(); err != nil {
		return nil, err
	}
	answer, err := invoke[pb.EndSessionsResponse](ctx, l.Caller, &endSessions, wire.FromEnding(ending, now))
	if err != nil {
		return nil, err
	}
	result, err := wire.ToResult(answer)
	if err != nil {
		return nil, broken(&endSessions, "%v", err)
	}
	if len(result.MissingClients) > 0 {
		return result, checkMissing(&endSessions, ending.AskRegistered, result.MissingClients)
	}
	// An ending of all returns its job, any other ending its counts.
	wanted := ""
	if ending.All && !ending.DryRun {
		wanted = ending.OperationID
	}
	if result.JobID != wanted {
		return nil, broken(&endSessions, "another job than the one asked for")
	}
	return result, checkResult(&endSessions, result)
}

func checkResult(m *method, result *logout.Result) error {
	if min(result.SessionsRemoved, result.GrantsRevoked, result.ConsentsRevoked,
		result.NotificationsQueued) < 0 {
		return broken(m, "a negative count")
	}
	for _, id := range result.ClientsLeftAlone {
		if err := ticketstore.CheckID("clients_left_alone", id); err != nil {
			return broken(m, "%v", err)
		}
	}
	if len(result.Ended) > logout.MaxEnded {
		return broken(m, "%d sessions where %d are listed at most", len(result.Ended), logout.MaxEnded)
	}
	return checkEnded(m, result.Ended)
}

// EndDue implements logout.Store.
func (l *Logout) EndDue(ctx context.Context, sweep logout.Sweep, now time.Time) (*logout.SweepResult, error) {
	answer, err := invoke[pb.EndDueSessionsResponse](ctx, l.Caller, &endDueSessions,
		wire.FromSweep(sweep, now))
	if err != nil {
		return nil, err
	}
	swept := wire.ToSweepResult(answer)
	if swept.Ended < 0 || swept.Ended > max(sweep.Limit, 0) || swept.NotificationsQueued < 0 {
		return nil, broken(&endDueSessions, "%d ended where %d were asked for", swept.Ended, sweep.Limit)
	}
	if len(swept.Sessions) > swept.Ended {
		return nil, broken(&endDueSessions, "%d sessions where %d ended", len(swept.Sessions), swept.Ended)
	}
	return swept, cmp.Or(checkEnded(&endDueSessions, swept.Sessions),
		checkMissing(&endDueSessions, sweep.AskRegistered, swept.MissingClients))
}

// checkMissing rejects an answer that names clients unasked or too many: the host looks up each of them.
func checkMissing(m *method, asked bool, clients []string) error {
	if most := ticketstore.MaxRegistrations; len(clients) > most || (len(clients) > 0 && !asked) {
		return broken(m, "%d missing clients, where there may be %d if it was asked", len(clients), most)
	}
	for _, id := range clients {
		if err := ticketstore.CheckID("missing_clients", id); err != nil {
			return broken(m, "%v", err)
		}
	}
	return nil
}

func checkEnded(m *method, ended []logout.EndedSession) error {
	for _, e := range ended {
		err := cmp.Or(ticketstore.CheckID("session_id", e.SessionID),
			ticketstore.CheckID("subject_id", e.SubjectID))
		if err != nil {
			return broken(m, "%v", err)
		}
	}
	return nil
}

// Claim implements logout.Store.
func (l *Logout) Claim(ctx context.Context, claim logout.Claim, now time.Time) (*logout.ClaimResult, error) {
	if err := claim.Validate(); err != nil {
		return nil, err
	}
	answer, err := invoke[pb.ClaimDeliveriesResponse](ctx, l.Caller, &claimDeliveries,
		wire.FromClaim(claim, now))
	if err != nil {
		return nil, err
	}
	claimed, err := wire.ToClaimResult(answer)
	if err != nil {
		return nil, broken(&claimDeliveries, "%v", err)
	}
	if len(claimed.Deliveries) > claim.Limit {
		return nil, broken(&claimDeliveries, "%d notifications where %d were asked for",
			len(claimed.Deliveries), claim.Limit)
	}
	// A notification returned twice in one claim would be delivered twice at the same time.
	handed := map[string]bool{}
	for i := range claimed.Deliveries {
		if id := claimed.Deliveries[i].ID; handed[id] {
			return nil, broken(&claimDeliveries, "the same notification twice")
		}
		handed[claimed.Deliveries[i].ID] = true
		if err := checkNotification(&claimDeliveries, &claimed.Deliveries[i].Notification); err != nil {
			return nil, err
		}
	}
	return claimed, nil
}

// Settle implements logout.Store.
func (l *Logout) Settle(
	ctx context.Context, id string, claim uint64, outcome logout.Outcome, now time.Time,
) error {
	if err := cmp.Or(ticketstore.CheckText("id", id, ticketstore.MaxID), outcome.Validate()); err != nil {
		return err
	}
	// The store truncates it to its own length; the message must be bounded and valid UTF-8.
	outcome.LastError = outcome.LastError[:min(len(outcome.LastError), ticketstore.MaxText)]
	outcome.LastError = strings.ToValidUTF8(outcome.LastError, "")
	_, err := invoke[pb.SettleDeliveryResponse](ctx, l.Caller, &settleDelivery,
		wire.FromSettlement(id, claim, outcome, now))
	return err
}

// Notifications implements logout.Store.
func (l *Logout) Notifications(
	ctx context.Context, query logout.NotificationQuery,
) (*logout.NotificationPage, error) {
	walk, err := query.Walk()
	if err != nil {
		return nil, err
	}
	answer, err := invoke[pb.QueryNotificationsResponse](ctx, l.Caller, &queryNotifications,
		wire.FromNotificationQuery(query))
	if err != nil {
		return nil, err
	}
	page, err := wire.ToNotificationPage(answer)
	if err != nil {
		return nil, broken(&queryNotifications, "%v", err)
	}
	want := asked{count: walk.Count, token: query.ResultsToken, prior: query.Prior}
	if err := checkPage(&queryNotifications, want, len(page.Notifications), page.ResultsToken,
		page.HasNext); err != nil {
		return nil, err
	}
	for i := range page.Notifications {
		if err := checkNotification(&queryNotifications, &page.Notifications[i]); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// Retry implements logout.Store.
func (l *Logout) Retry(ctx context.Context, retry logout.Retry, now time.Time) (*logout.RetryResult, error) {
	if err := retry.Validate(); err != nil {
		return nil, err
	}
	answer, err := invoke[pb.RetryNotificationsResponse](ctx, l.Caller, &retryNotifications,
		wire.FromRetry(retry, now))
	if err != nil {
		return nil, err
	}
	retried, err := wire.ToRetryResult(answer)
	if err != nil {
		return nil, broken(&retryNotifications, "%v", err)
	}
	if retry.ID == "" {
		return retried, checkRetried(retry, retried)
	}
	switch n := retried.Notification; {
	case n == nil || n.ID != retry.ID:
		return nil, broken(&retryNotifications, "another notification than the one asked for")
	case retried.Count != 1 || retried.Next != "":
		return nil, broken(&retryNotifications, "more than the one notification asked for")
	}
	return retried, checkNotification(&retryNotifications, retried.Notification)
}

func checkRetried(retry logout.Retry, retried *logout.RetryResult) error {
	switch {
	case retried.Count < 0 || retried.Count > retry.Limit:
		return broken(&retryNotifications, "%d notifications where %d were asked for", retried.Count,
			retry.Limit)
	case retried.Next != "" && retried.Next == retry.After:
		return broken(&retryNotifications, "a place that leads nowhere")
	}
	if err := ticketstore.CheckText("next", retried.Next, ticketstore.MaxID); err != nil {
		return broken(&retryNotifications, "%v", err)
	}
	return nil
}

// Job implements logout.Store.
func (l *Logout) Job(ctx context.Context, id string) (*logout.Job, error) {
	if err := ticketstore.CheckID("id", id); err != nil {
		return nil, err
	}
	answer, err := invoke[pb.GetJobResponse](ctx, l.Caller, &getJob, &pb.GetJobRequest{Id: id})
	if err != nil {
		return nil, err
	}
	job, err := wire.ToJob(answer)
	if err != nil {
		return nil, broken(&getJob, "%v", err)
	}
	switch {
	case job.ID != id:
		return nil, broken(&getJob, "another job than the one asked for")
	case job.Started.IsZero() || job.Total < -1 || job.Done < 0 || job.Result.JobID != "":
		return nil, broken(&getJob, "a job without its time or counts")
	}
	if err := ticketstore.CheckText("error", job.Error, logout.MaxLastError); err != nil {
		return nil, broken(&getJob, "%v", err)
	}
	return job, checkResult(&getJob, &job.Result)
}

// checkNotification rejects a notification that cannot be delivered or shown.
func checkNotification(m *method, n *logout.Notification) error {
	for _, id := range []struct{ field, value string }{
		{"id", n.ID}, {"issuer", n.Issuer}, {"client_id", n.ClientID}, {"session_id", n.SessionID},
		{"reason", string(n.Reason)},
	} {
		if err := ticketstore.CheckID(id.field, id.value); err != nil {
			return broken(m, "%v", err)
		}
	}
	state := logout.NotificationFilter{State: n.State}
	err := cmp.Or(
		state.Validate(),
		ticketstore.CheckText("subject_id", n.SubjectID, ticketstore.MaxID),
		ticketstore.CheckText("last_error", n.LastError, logout.MaxLastError),
	)
	switch {
	case err != nil:
		return broken(m, "%v", err)
	case n.State == "" || n.Queued.IsZero() || n.Attempts < 0:
		return broken(m, "a notification without its state or times")
	}
	return nil
}

type logoutServer struct {
	pb.UnimplementedLogoutServiceServer
	server *Server
}

// EndSessions ends sessions.
func (l *logoutServer) EndSessions(
	ctx context.Context, request *pb.EndSessionsRequest,
) (*pb.EndSessionsResponse, error) {
	return serveAt(ctx, l.server, endSessions.name, request.GetEnding().GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.EndSessionsResponse, error) {
			result, err := b.Logout().End(ctx, wire.ToEnding(request), now)
			return wire.FromResult(result), err
		})
}

// EndDueSessions ends expired sessions.
func (l *logoutServer) EndDueSessions(
	ctx context.Context, request *pb.EndDueSessionsRequest,
) (*pb.EndDueSessionsResponse, error) {
	return serveAt(ctx, l.server, endDueSessions.name, request.GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.EndDueSessionsResponse, error) {
			swept, err := b.Logout().EndDue(ctx, wire.ToSweep(request), now)
			return wire.FromSweepResult(swept), err
		})
}

// ClaimDeliveries hands out notifications.
func (l *logoutServer) ClaimDeliveries(
	ctx context.Context, request *pb.ClaimDeliveriesRequest,
) (*pb.ClaimDeliveriesResponse, error) {
	return serveAt(ctx, l.server, claimDeliveries.name, request.GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.ClaimDeliveriesResponse, error) {
			claimed, err := b.Logout().Claim(ctx, wire.ToClaim(request), now)
			return wire.FromClaimResult(claimed), err
		})
}

// SettleDelivery records an outcome.
func (l *logoutServer) SettleDelivery(
	ctx context.Context, request *pb.SettleDeliveryRequest,
) (*pb.SettleDeliveryResponse, error) {
	return serveAt(ctx, l.server, settleDelivery.name, request.GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.SettleDeliveryResponse, error) {
			return &pb.SettleDeliveryResponse{},
				b.Logout().Settle(ctx, request.GetId(), request.GetClaim(), wire.ToOutcome(request), now)
		})
}

// QueryNotifications lists notifications.
func (l *logoutServer) QueryNotifications(
	ctx context.Context, request *pb.QueryNotificationsRequest,
) (*pb.QueryNotificationsResponse, error) {
	return serve(ctx, l.server, queryNotifications.name,
		func(b sessions.Backend) (*pb.QueryNotificationsResponse, error) {
			page, err := b.Logout().Notifications(ctx, wire.ToNotificationQuery(request))
			return wire.FromNotificationPage(page), err
		})
}

// RetryNotifications makes notifications due now.
func (l *logoutServer) RetryNotifications(
	ctx context.Context, request *pb.RetryNotificationsRequest,
) (*pb.RetryNotificationsResponse, error) {
	return serveAt(ctx, l.server, retryNotifications.name, request.GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.RetryNotificationsResponse, error) {
			retried, err := b.Logout().Retry(ctx, wire.ToRetry(request), now)
			return wire.FromRetryResult(retried), err
		})
}

// GetJob returns the progress of an ending.
func (l *logoutServer) GetJob(ctx context.Context, request *pb.GetJobRequest) (*pb.GetJobResponse, error) {
	return serve(ctx, l.server, getJob.name, func(b sessions.Backend) (*pb.GetJobResponse, error) {
		job, err := b.Logout().Job(ctx, request.GetId())
		return wire.FromJob(job), err
	})
}
