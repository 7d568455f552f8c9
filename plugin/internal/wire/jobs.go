package wire

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
)

// FromJob returns the message of a job; nil stays nil.
func FromJob(j *logout.Job) *pb.GetJobResponse {
	if j == nil {
		return nil
	}
	return &pb.GetJobResponse{
		Id: j.ID, State: string(j.State), Phase: j.Phase, Started: FromTime(j.Started), Finished: FromTime(j.Finished),
		Total: int64(j.Total), Done: int64(j.Done), Result: FromResult(&j.Result), Error: j.Error,
	}
}

// ToJob returns the job of a message.
func ToJob(m *pb.GetJobResponse) (*logout.Job, error) {
	var r reader
	j := &logout.Job{
		ID: m.GetId(), State: logout.JobState(m.GetState()), Phase: m.GetPhase(),
		Started: r.time("started", m.GetStarted()), Finished: r.time("finished", m.GetFinished()),
		Total: int(m.GetTotal()), Done: int(m.GetDone()), Result: *ToResult(m.GetResult()), Error: m.GetError(),
	}
	return j, r.err
}

// FromRetry returns the request of a retry.
func FromRetry(r logout.Retry, now time.Time) *pb.RetryDeliveryRequest {
	m := &pb.RetryDeliveryRequest{Id: r.ID, Limit: FromLimit(r.Limit), After: r.After, Now: FromTime(now)}
	if r.Filter != (logout.NotificationFilter{}) {
		m.Filter = fromDeliveryFilter(r.Filter)
	}
	return m
}

// ToRetry returns the retry of a request.
func ToRetry(m *pb.RetryDeliveryRequest) logout.Retry {
	return logout.Retry{ID: m.GetId(), Filter: toDeliveryFilter(m.GetFilter()), Limit: int(m.GetLimit()), After: m.GetAfter()}
}

// FromRetried returns the answer of a retry; nil stays nil.
func FromRetried(r *logout.RetryResult) *pb.RetryDeliveryResponse {
	if r == nil {
		return nil
	}
	return &pb.RetryDeliveryResponse{Notification: FromNotification(r.Notification), Count: FromLimit(r.Count), Next: r.Next}
}

// ToRetried returns what will be sent again.
func ToRetried(m *pb.RetryDeliveryResponse) (*logout.RetryResult, error) {
	retried := &logout.RetryResult{Count: int(m.GetCount()), Next: m.GetNext()}
	if m.GetNotification() == nil {
		return retried, nil
	}
	n, err := ToNotification(m.GetNotification())
	retried.Notification = n
	return retried, err
}

func fromDeliveryFilter(f logout.NotificationFilter) *pb.DeliveryFilter {
	return &pb.DeliveryFilter{State: string(f.State), ClientId: f.ClientID, SessionId: f.SessionID}
}

func toDeliveryFilter(m *pb.DeliveryFilter) logout.NotificationFilter {
	return logout.NotificationFilter{State: logout.State(m.GetState()), ClientID: m.GetClientId(), SessionID: m.GetSessionId()}
}
