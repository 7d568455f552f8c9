package hostadapter

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

// Event is something that has happened to a session: one of *SessionStarted, *SessionRenewed, *SessionReplaced, *SessionEnded, *GrantsRevoked,
// *NoticeDelivered and *NoticeGivenUp. It is told after the store has it for certain, on the host that did it.
type Event interface {
	// Attrs are the event as a log shows it.
	Attrs() []slog.Attr
	// Name is the event's, in snake case.
	Name() string
}

// Subscriber receives events, one after another, in a goroutine of its own. One that is slow misses events, which are counted and logged; one
// that panics misses that event. Neither holds anything up.
type Subscriber interface {
	Receive(ctx context.Context, event Event)
}

// SessionStarted says that a user signed in.
type SessionStarted struct {
	Time                                        time.Time
	SessionID, SubjectID, RemoteAddr, UserAgent string
}

// SessionRenewed says that a session lives on because it was used or because its user signed in again.
type SessionRenewed struct {
	Time                 time.Time
	SessionID, SubjectID string
}

// SessionReplaced says that another user signed in over a session. Its end is told as well.
type SessionReplaced struct {
	Time                       time.Time
	SessionID, SubjectID       string
	NewSessionID, NewSubjectID string
}

// SessionEnded says that a session has ended. Actor is who ended it, where that is not its user (WithActor).
type SessionEnded struct {
	Time                 time.Time
	SessionID, SubjectID string
	Reason               logout.Reason
	Actor                string
	// More counts further sessions that ended with it and are not named, when very many did.
	More int
}

// GrantsRevoked says how many tokens and consents went, with their sessions or without. SessionID and SubjectID are what was selected, each may be
// empty.
type GrantsRevoked struct {
	Time                 time.Time
	SessionID, SubjectID string
	Tokens, Consents     int
	Reason               logout.Reason
	Actor                string
}

// NoticeDelivered says that a client took the notice of a session's end.
type NoticeDelivered struct {
	Time   time.Time
	Notice logout.Notification
}

// NoticeGivenUp says that a client refused its notice, or that nobody tries to deliver it any more. Problem says why.
type NoticeGivenUp struct {
	Time    time.Time
	Notice  logout.Notification
	Problem string
}

// Name returns "session_started".
func (*SessionStarted) Name() string { return "session_started" }

// Name returns "session_renewed".
func (*SessionRenewed) Name() string { return "session_renewed" }

// Name returns "session_replaced".
func (*SessionReplaced) Name() string { return "session_replaced" }

// Name returns "session_ended".
func (*SessionEnded) Name() string { return "session_ended" }

// Name returns "grants_revoked".
func (*GrantsRevoked) Name() string { return "grants_revoked" }

// Name returns "notice_delivered".
func (*NoticeDelivered) Name() string { return "notice_delivered" }

// Name returns "notice_given_up".
func (*NoticeGivenUp) Name() string { return "notice_given_up" }

func whose(sid, subject string, more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{slog.String("session_id", sid), slog.String("subject_id", subject)}, more...)
}

// Attrs returns the event as a log shows it.
func (e *SessionStarted) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.String("remote_addr", e.RemoteAddr), slog.String("user_agent", e.UserAgent))
}

// Attrs returns the event as a log shows it.
func (e *SessionRenewed) Attrs() []slog.Attr { return whose(e.SessionID, e.SubjectID) }

// Attrs returns the event as a log shows it.
func (e *SessionReplaced) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.String("new_session_id", e.NewSessionID), slog.String("new_subject_id", e.NewSubjectID))
}

// Attrs returns the event as a log shows it.
func (e *SessionEnded) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.String("reason", string(e.Reason)), slog.String("actor", e.Actor), slog.Int("more", e.More))
}

// Attrs returns the event as a log shows it.
func (e *GrantsRevoked) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.Int("tokens", e.Tokens), slog.Int("consents", e.Consents),
		slog.String("reason", string(e.Reason)), slog.String("actor", e.Actor))
}

// Attrs returns the event as a log shows it.
func (e *NoticeDelivered) Attrs() []slog.Attr { return ofNotice(&e.Notice) }

// Attrs returns the event as a log shows it.
func (e *NoticeGivenUp) Attrs() []slog.Attr {
	return append(ofNotice(&e.Notice), slog.String("problem", e.Problem))
}

func ofNotice(n *logout.Notification) []slog.Attr {
	return whose(n.SessionID, n.SubjectID, slog.String("client_id", n.ClientID), slog.String("notification_id", n.ID))
}

// eventLog is a Subscriber that writes a log.
type eventLog struct{ logger *slog.Logger }

// NewEventLog returns a Subscriber that writes each event to the logger.
func NewEventLog(logger *slog.Logger) Subscriber { return eventLog{logger} }

// Receive writes one line.
func (l eventLog) Receive(ctx context.Context, event Event) {
	l.logger.LogAttrs(ctx, slog.LevelInfo, event.Name(), event.Attrs()...) //nolint:sloglint // a few names, each a constant
}

type actorKey struct{}

// WithActor names who does what is done under the context, for the events that tell of it.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return actor
}

const (
	// eventQueue is how many events wait for one subscriber.
	eventQueue = 1024
	// eventGrace is how long Close lets subscribers finish.
	eventGrace = 2 * time.Second
)

// eventStream hands events to the subscribers.
type eventStream struct {
	logger *slog.Logger
	queues []*eventLine
	base   context.Context //nolint:containedctx // it is the stream's own life
	cut    context.CancelFunc
	mu     sync.RWMutex
	closed bool
	ended  sync.WaitGroup
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

// tell never waits: who called it is about to answer a request.
func (s *eventStream) tell(event Event) {
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
			s.logger.ErrorContext(s.base, "subscriber panicked", "subscriber", fmt.Sprintf("%T", line.subscriber), "event", event.Name(),
				"panic", fmt.Sprint(problem))
		}
	}()
	if dropped := line.dropped.Swap(0); dropped > 0 {
		s.logger.WarnContext(s.base, "subscriber was too slow and missed events", "subscriber", fmt.Sprintf("%T", line.subscriber), "missed", dropped)
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
	timer := time.NewTimer(eventGrace)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		s.logger.WarnContext(s.base, "a subscriber has not finished with its events")
	}
	s.cut()
}

// tellEnding tells of what an ending did.
func (a *Adapter) tellEnding(ctx context.Context, ending *logout.Ending, result *logout.Result) {
	if ending.DryRun {
		return
	}
	actor := actorOf(ctx)
	for i, ended := range result.Ended {
		event := &SessionEnded{
			Time: a.now(), SessionID: ended.SessionID, SubjectID: ended.SubjectID, Reason: ending.Reason, Actor: actor,
		}
		if i == len(result.Ended)-1 {
			event.More = max(result.SessionsRemoved-len(result.Ended), 0)
		}
		a.events.tell(event)
	}
	if result.GrantsRevoked+result.ConsentsRevoked > 0 {
		a.events.tell(&GrantsRevoked{
			Time: a.now(), SessionID: ending.SessionID, SubjectID: ending.SubjectID, Tokens: result.GrantsRevoked, Consents: result.ConsentsRevoked,
			Reason: ending.Reason, Actor: actor,
		})
	}
}

// Slid tells of a session that slid in a batch (grantstore.Result).
func (a *Adapter) Slid(sessionID, subjectID string) {
	a.events.tell(&SessionRenewed{Time: a.now(), SessionID: sessionID, SubjectID: subjectID})
}

func (a *Adapter) settled(notice *logout.Notification, outcome logout.Outcome) {
	switch outcome.State {
	case logout.Delivered:
		a.events.tell(&NoticeDelivered{Time: a.now(), Notice: *notice})
	case logout.Refused, logout.GivenUp:
		a.events.tell(&NoticeGivenUp{Time: a.now(), Notice: *notice, Problem: outcome.LastError})
	}
}
