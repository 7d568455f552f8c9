package rpc

// LogoutService, client and server.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
		path: pb.LogoutService_EndSessions_FullMethodName, name: "end sessions", idempotent: true, long: true,
	}
	endDueSessions = method{
		path: pb.LogoutService_EndDueSessions_FullMethodName, name: "end due sessions", idempotent: true,
		long: true,
	}
	claimDeliveries = method{
		path: pb.LogoutService_ClaimDeliveries_FullMethodName, name: "claim deliveries",
	}
	settleDelivery     = repeatable(pb.LogoutService_SettleDelivery_FullMethodName, "settle delivery")
	queryNotifications = repeatable(pb.LogoutService_QueryNotifications_FullMethodName, "query notifications")
	retryNotifications = repeatable(pb.LogoutService_RetryNotifications_FullMethodName, "retry notifications")
	getJob             = repeatable(pb.LogoutService_GetJob_FullMethodName, "get job")
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
	return ask(ctx, l.Caller, &endSessions, wire.FromEnding(ending, now), wire.ToResult,
		func(result *logout.Result) error {
			if len(result.MissingClients) > 0 {
				return checkMissing(ending.AskRegistered, result.MissingClients)
			}
			// An ending of all returns its job, any other ending its counts.
			wanted := ""
			if ending.All && !ending.DryRun {
				wanted = ending.OperationID
			}
			if result.JobID != wanted {
				return errOtherJob
			}
			return checkResult(result)
		})
}

var errOtherJob = errors.New("another job than the one asked for")

func checkResult(result *logout.Result) error {
	switch {
	case min(result.SessionsRemoved, result.GrantsRevoked, result.ConsentsRevoked,
		result.NotificationsQueued) < 0:
		return errors.New("a negative count")
	case len(result.Ended) > logout.MaxEnded:
		return fmt.Errorf("%d sessions where %d are listed at most", len(result.Ended), logout.MaxEnded)
	}
	return cmp.Or(checkIDs("clients_left_alone", result.ClientsLeftAlone), checkEnded(result.Ended))
}

// EndDue implements logout.Store.
func (l *Logout) EndDue(ctx context.Context, sweep logout.Sweep, now time.Time) (*logout.SweepResult, error) {
	return ask(ctx, l.Caller, &endDueSessions, wire.FromSweep(sweep, now), wire.ToSweepResult,
		func(swept *logout.SweepResult) error {
			switch {
			case swept.Ended < 0 || swept.Ended > max(sweep.Limit, 0) || swept.NotificationsQueued < 0:
				return fmt.Errorf("%d ended where %d were asked for", swept.Ended, sweep.Limit)
			case len(swept.Sessions) > swept.Ended:
				return fmt.Errorf("%d sessions where %d ended", len(swept.Sessions), swept.Ended)
			}
			return cmp.Or(checkEnded(swept.Sessions), checkMissing(sweep.AskRegistered, swept.MissingClients))
		})
}

// checkMissing rejects an answer that names clients unasked or too many: the host looks up each of them.
func checkMissing(asked bool, clients []string) error {
	if most := ticketstore.MaxRegistrations; len(clients) > most || (len(clients) > 0 && !asked) {
		return fmt.Errorf("%d missing clients, where there may be %d if it was asked", len(clients), most)
	}
	return checkIDs("missing_clients", clients)
}

func checkEnded(ended []logout.EndedSession) (err error) {
	for _, e := range ended {
		err = cmp.Or(err, ticketstore.CheckID("session_id", e.SessionID),
			ticketstore.CheckID("subject_id", e.SubjectID))
	}
	return err
}

// Claim implements logout.Store.
func (l *Logout) Claim(ctx context.Context, claim logout.Claim, now time.Time) (*logout.ClaimResult, error) {
	if err := claim.Validate(); err != nil {
		return nil, err
	}
	return ask(ctx, l.Caller, &claimDeliveries, wire.FromClaim(claim, now), wire.ToClaimResult,
		func(claimed *logout.ClaimResult) (err error) {
			if n := len(claimed.Deliveries); n > claim.Limit {
				return fmt.Errorf("%d notifications where %d were asked for", n, claim.Limit)
			}
			// A notification returned twice in one claim would be delivered twice at the same time.
			handed := map[string]bool{}
			for i := range claimed.Deliveries {
				n := &claimed.Deliveries[i].Notification
				if handed[n.ID] {
					return errors.New("the same notification twice")
				}
				handed[n.ID] = true
				err = cmp.Or(err, checkNotification(n))
			}
			return err
		})
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
	return ask(ctx, l.Caller, &queryNotifications, wire.FromNotificationQuery(query), wire.ToNotificationPage,
		func(page *logout.NotificationPage) error {
			want := requestedPage{count: walk.Count, token: query.ResultsToken, prior: query.Prior}
			err := checkPage(want, len(page.Notifications), page.ResultsToken, page.HasNext)
			for i := range page.Notifications {
				err = cmp.Or(err, checkNotification(&page.Notifications[i]))
			}
			return err
		})
}

// Retry implements logout.Store.
func (l *Logout) Retry(ctx context.Context, retry logout.Retry, now time.Time) (*logout.RetryResult, error) {
	if err := retry.Validate(); err != nil {
		return nil, err
	}
	return ask(ctx, l.Caller, &retryNotifications, wire.FromRetry(retry, now), wire.ToRetryResult,
		func(retried *logout.RetryResult) error { return checkRetried(&retry, retried) })
}

func checkRetried(retry *logout.Retry, retried *logout.RetryResult) error {
	n := retried.Notification
	switch {
	case retry.ID == "" && (retried.Count < 0 || retried.Count > retry.Limit):
		return fmt.Errorf("%d notifications where %d were asked for", retried.Count, retry.Limit)
	case retry.ID == "" && retried.Next != "" && retried.Next == retry.After:
		return errors.New("a place that leads nowhere")
	case retry.ID == "":
		return ticketstore.CheckText("next", retried.Next, ticketstore.MaxID)
	case n == nil || n.ID != retry.ID:
		return errors.New("another notification than the one asked for")
	case retried.Count != 1 || retried.Next != "":
		return errors.New("more than the one notification asked for")
	}
	return checkNotification(n)
}

// Job implements logout.Store.
func (l *Logout) Job(ctx context.Context, id string) (*logout.Job, error) {
	if err := ticketstore.CheckID("id", id); err != nil {
		return nil, err
	}
	return ask(ctx, l.Caller, &getJob, &pb.GetJobRequest{Id: id}, wire.ToJob, func(job *logout.Job) error {
		switch {
		case job.ID != id:
			return errOtherJob
		case job.Started.IsZero() || job.Total < -1 || job.Done < 0 || job.Result.JobID != "":
			return errors.New("a job without its time or counts")
		}
		return cmp.Or(ticketstore.CheckText("error", job.Error, logout.MaxLastError),
			checkResult(&job.Result))
	})
}

// checkNotification rejects a notification that cannot be delivered or shown.
func checkNotification(n *logout.Notification) (err error) {
	for _, id := range []struct{ field, value string }{
		{"id", n.ID}, {"issuer", n.Issuer}, {"client_id", n.ClientID}, {"session_id", n.SessionID},
		{"reason", string(n.Reason)},
	} {
		err = cmp.Or(err, ticketstore.CheckID(id.field, id.value))
	}
	if n.State == "" || n.Queued.IsZero() || n.Attempts < 0 {
		return errors.New("a notification without its state or times")
	}
	state := logout.NotificationFilter{State: n.State}
	return cmp.Or(err, state.Validate(),
		ticketstore.CheckText("subject_id", n.SubjectID, ticketstore.MaxID),
		ticketstore.CheckText("last_error", n.LastError, logout.MaxLastError))
}

var logoutHandlers = []*handler{
	handle(&endSessions, func(
		ctx context.Context, b sessions.Backend, request *pb.EndSessionsRequest,
	) (*pb.EndSessionsResponse, error) {
		now, err := wire.Now(request.GetEnding().GetNow())
		if err != nil {
			return nil, err
		}
		result, err := b.Logout().End(ctx, wire.ToEnding(request), now)
		return toAnswer(result, err, wire.FromResult)
	}),
	forwardAt(&endDueSessions, always(wire.ToSweep), sessions.Backend.Logout, logout.Store.EndDue,
		wire.FromSweepResult),
	forwardAt(&claimDeliveries, always(wire.ToClaim), sessions.Backend.Logout, logout.Store.Claim,
		wire.FromClaimResult),
	handleAt(&settleDelivery, func(
		ctx context.Context, b sessions.Backend, request *pb.SettleDeliveryRequest, now time.Time,
	) (*pb.SettleDeliveryResponse, error) {
		outcome := wire.ToOutcome(request)
		err := b.Logout().Settle(ctx, request.GetId(), request.GetClaim(), outcome, now)
		return &pb.SettleDeliveryResponse{}, err
	}),
	forward(&queryNotifications, always(wire.ToNotificationQuery), sessions.Backend.Logout,
		logout.Store.Notifications, wire.FromNotificationPage),
	forwardAt(&retryNotifications, always(wire.ToRetry), sessions.Backend.Logout, logout.Store.Retry,
		wire.FromRetryResult),
	forward(&getJob, always((*pb.GetJobRequest).GetId), sessions.Backend.Logout, logout.Store.Job,
		wire.FromJob),
}
