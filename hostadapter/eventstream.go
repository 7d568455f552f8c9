package hostadapter

// The delivery of events to subscribers: a bounded queue each, which never delays a request.

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
	// eventQueue is the length of a subscriber's queue.
	eventQueue = 1024
	// eventGrace is how long Close waits for subscribers to finish.
	eventGrace = 2 * time.Second
)

type actorKey struct{}

// WithActor returns a context whose events name the actor.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return actor
}

// eventStream dispatches events to the subscribers.
type eventStream struct {
	logger  *slog.Logger
	metrics *metrics
	// activity holds the counts for the admin page.
	activity activity
	queues   []*subscription
	base     context.Context //nolint:containedctx // it is the lifetime of the stream
	cut      context.CancelFunc
	mu       sync.RWMutex
	closed   bool
	ended    sync.WaitGroup
}

// subscription is a subscriber with its queue.
type subscription struct {
	subscriber Subscriber
	events     chan Event
	dropped    atomic.Int64
}

func newEventStream(subscribers []Subscriber, logger *slog.Logger) *eventStream {
	s := &eventStream{logger: logger}
	s.base, s.cut = context.WithCancel(context.Background())
	for _, subscriber := range subscribers {
		queue := &subscription{subscriber: subscriber, events: make(chan Event, eventQueue)}
		s.queues = append(s.queues, queue)
		s.ended.Go(func() {
			for event := range queue.events {
				s.dispatch(queue, event)
			}
		})
	}
	return s
}

// publish never blocks: its caller is about to answer a request.
func (s *eventStream) publish(event Event) {
	s.metrics.event(event)
	s.activity.event(event)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return
	}
	for _, queue := range s.queues {
		select {
		case queue.events <- event:
		default:
			queue.dropped.Add(1)
		}
	}
}

func (s *eventStream) dispatch(queue *subscription, event Event) {
	defer func() {
		if problem := recover(); problem != nil {
			s.logger.ErrorContext(s.base, "subscriber panicked",
				"subscriber", fmt.Sprintf("%T", queue.subscriber), "event", event.Name(),
				"panic", fmt.Sprint(problem))
		}
	}()
	if dropped := queue.dropped.Swap(0); dropped > 0 {
		s.logger.WarnContext(s.base, "subscriber was too slow and missed events",
			"subscriber", fmt.Sprintf("%T", queue.subscriber), "missed", dropped)
	}
	queue.subscriber.Receive(s.base, event)
}

// close waits, for a limited time, until subscribers have received their queued events.
func (s *eventStream) close() {
	s.mu.Lock()
	s.closed = true
	for _, queue := range s.queues {
		close(queue.events)
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

// publishEnding publishes the events of an ending.
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

// publishRenewed publishes the renewal of a session by a batch (grantstore.Result).
func (a *Adapter) publishRenewed(sessionID, subjectID string) {
	a.events.publish(&SessionRenewed{Time: a.now(), SessionID: sessionID, SubjectID: subjectID})
}

// delivering starts the span of a delivery.
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
