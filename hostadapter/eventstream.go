package hostadapter

// How events reach subscribers: a bounded queue each, which never delays a request.

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/codes"

	"github.com/fosite-sessions/sessions/logout"
)

const (
	// eventQueue is how many events wait for one subscriber.
	eventQueue = 1024
	// eventGrace is how long Close lets subscribers finish.
	eventGrace = 2 * time.Second
)

type actorKey struct{}

// WithActor names who does what is done under the context, for the events about it.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return actor
}

// eventStream hands events to the subscribers.
type eventStream struct {
	logger  *slog.Logger
	metrics *metrics
	// activity counts for the admin page.
	activity activity
	queues   []*eventLine
	base     context.Context //nolint:containedctx // it is the stream's own life
	cut      context.CancelFunc
	mu       sync.RWMutex
	closed   bool
	ended    sync.WaitGroup
}

// eventLine is one subscriber's queue.
type eventLine struct {
	subscriber Subscriber
	events     chan Event
	dropped    atomic.Int64
}

func newEventStream(subscribers []Subscriber, logger *slog.Logger) *eventStream {
	s := &eventStream{logger: logger}
	s.base, s.cut = context.WithCancel(context.Background())
	for _, subscriber := range subscribers {
		line := &eventLine{subscriber: subscriber, events: make(chan Event, eventQueue)}
		s.queues = append(s.queues, line)
		s.ended.Go(func() {
			for event := range line.events {
				s.hand(line, event)
			}
		})
	}
	return s
}

// publish never waits: its caller is about to answer a request.
func (s *eventStream) publish(event Event) {
	s.metrics.event(event)
	s.activity.event(event)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return
	}
	for _, line := range s.queues {
		select {
		case line.events <- event:
		default:
			line.dropped.Add(1)
		}
	}
}

func (s *eventStream) hand(line *eventLine, event Event) {
	defer func() {
		if problem := recover(); problem != nil {
			s.logger.ErrorContext(s.base, "subscriber panicked",
				"subscriber", fmt.Sprintf("%T", line.subscriber), "event", event.Name(),
				"panic", fmt.Sprint(problem))
		}
	}()
	if dropped := line.dropped.Swap(0); dropped > 0 {
		s.logger.WarnContext(s.base, "subscriber was too slow and missed events",
			"subscriber", fmt.Sprintf("%T", line.subscriber), "missed", dropped)
	}
	line.subscriber.Receive(s.base, event)
}

// close lets subscribers finish what waits, for a while.
func (s *eventStream) close() {
	s.mu.Lock()
	s.closed = true
	for _, line := range s.queues {
		close(line.events)
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.ended.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(eventGrace):
		s.logger.WarnContext(s.base, "a subscriber has not finished with its events")
	}
	s.cut()
}

// publishEnding publishes what an ending did.
func (a *Adapter) publishEnding(ctx context.Context, ending *logout.Ending, result *logout.Result) {
	if ending.DryRun {
		return
	}
	actor := actorOf(ctx)
	for i, ended := range result.Ended {
		event := &SessionEnded{
			Time: a.now(), SessionID: ended.SessionID, SubjectID: ended.SubjectID, Reason: ending.Reason,
			Actor: actor,
		}
		if i == len(result.Ended)-1 {
			event.More = max(result.SessionsRemoved-len(result.Ended), 0)
		}
		a.events.publish(event)
	}
	if result.GrantsRevoked+result.ConsentsRevoked > 0 {
		a.events.publish(&GrantsRevoked{
			Time: a.now(), SessionID: ending.SessionID, SubjectID: ending.SubjectID,
			Tokens: result.GrantsRevoked, Consents: result.ConsentsRevoked,
			Reason: ending.Reason, Actor: actor,
		})
	}
}

// publishRenewed publishes a session that slid in a batch (grantstore.Result).
func (a *Adapter) publishRenewed(sessionID, subjectID string) {
	a.events.publish(&SessionRenewed{Time: a.now(), SessionID: sessionID, SubjectID: subjectID})
}

// delivering makes a span of a delivery.
func (a *Adapter) delivering(
	ctx context.Context, delivery *logout.Delivery,
) (context.Context, func(logout.Outcome)) {
	ctx, span := a.tracing.startAbout(ctx, "deliver logout token", delivery.SessionID, delivery.SubjectID)
	a.tracing.name(span, SpanClient, delivery.ClientID)
	return ctx, func(outcome logout.Outcome) {
		if outcome.State != logout.Delivered {
			span.SetStatus(codes.Error, string(outcome.State))
		}
		span.End()
	}
}

func (a *Adapter) settled(notification *logout.Notification, outcome logout.Outcome) {
	a.metrics.attempted(outcome)
	switch outcome.State {
	case logout.Delivered:
		a.events.publish(&NotificationDelivered{Time: a.now(), Notification: *notification})
	case logout.Refused, logout.GivenUp:
		a.events.publish(&NotificationGivenUp{
			Time: a.now(), Notification: *notification, Problem: outcome.LastError,
		})
	}
}
