package rpc

// Durations of calls, and a backend's figures.

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"

	"github.com/fosite-sessions/sessions"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var getFigures = repeatable(pb.BackendService_GetFigures_FullMethodName, "get figures")

// codeNames are the names of gRPC's codes in the semantic conventions.
var codeNames = map[codes.Code]string{
	codes.OK: "OK", codes.Canceled: "CANCELLED", codes.Unknown: "UNKNOWN",
	codes.InvalidArgument: "INVALID_ARGUMENT", codes.DeadlineExceeded: "DEADLINE_EXCEEDED",
	codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS", codes.Aborted: "ABORTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION", codes.Internal: "INTERNAL",
	codes.Unavailable: "UNAVAILABLE",
}

// known holds the telemetry attributes of a method's outcome.
type known struct {
	duration []metric.RecordOption
	span     trace.SpanStartOption
}

// known returns the telemetry attributes of an outcome. Those of a success are created once.
func (m *method) known(err error) *known {
	if err != nil {
		return m.knownAs(codeOf(err))
	}
	m.once.Do(func() { m.ok = m.knownAs(codeOf(nil)) })
	return m.ok
}

func (m *method) knownAs(code string) *known {
	attributes := []attribute.KeyValue{
		semconv.RPCSystemNameGRPC, semconv.RPCMethod(strings.TrimPrefix(m.path, "/")),
		semconv.RPCResponseStatusCode(code),
	}
	return &known{
		duration: []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attributes...))},
		span:     trace.WithAttributes(attributes...),
	}
}

// NewDurations creates the histogram for Caller.Durations.
func NewDurations(meter metric.Meter) (metric.Float64Histogram, error) {
	return meter.Float64Histogram("rpc.client.call.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of calls of the plugin, including waits and retries."),
		metric.WithExplicitBucketBoundaries(
			.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
}

// Figures implements sessions.Measured.
func (c *Caller) Figures(ctx context.Context) (sessions.Figures, error) {
	return ask(ctx, c, &getFigures, &pb.GetFiguresRequest{}, figuresOf, nil)
}

func figuresOf(answer *pb.GetFiguresResponse) (sessions.Figures, error) {
	f := sessions.Figures{
		Commits: answer.GetCommits(), Changes: answer.GetChanges(),
		CommitTime: time.Duration(answer.GetCommitTime()),
		DiskUsed:   answer.GetDiskUsed(), DiskFree: answer.GetDiskFree(),
		RoundTrips: answer.GetRoundTrips(), ConnectionWaits: answer.GetConnectionWaits(),
		ConnectionWaitTime: time.Duration(answer.GetConnectionWaitTime()),
	}
	commits := copy(f.CommitBuckets[:], answer.GetCommitBuckets())
	groups := copy(f.GroupBuckets[:], answer.GetGroupBuckets())
	switch {
	case f.CommitTime < 0 || f.ConnectionWaitTime < 0 || f.DiskUsed < -1 || f.DiskFree < -1:
		return f, errors.New("a negative figure")
	case commits != len(answer.GetCommitBuckets()) || groups != len(answer.GetGroupBuckets()):
		return f, errors.New("too many buckets")
	}
	return f, nil
}

// serveFigures returns the figures of a backend that measures itself.
func serveFigures(
	ctx context.Context, b sessions.Backend, _ *pb.GetFiguresRequest,
) (*pb.GetFiguresResponse, error) {
	measured, ok := b.(sessions.Measured)
	if !ok {
		return nil, ticketstore.Invalidf("service", "figures is not served by this backend")
	}
	f, err := measured.Figures(ctx)
	return &pb.GetFiguresResponse{
		Commits: f.Commits, Changes: f.Changes, CommitTime: int64(f.CommitTime),
		CommitBuckets: f.CommitBuckets[:], GroupBuckets: f.GroupBuckets[:],
		RoundTrips: f.RoundTrips, ConnectionWaits: f.ConnectionWaits,
		ConnectionWaitTime: int64(f.ConnectionWaitTime),
		DiskUsed:           f.DiskUsed, DiskFree: f.DiskFree,
	}, err
}
