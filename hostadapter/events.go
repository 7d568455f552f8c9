package hostadapter

// Events that subscribers receive about sessions.

import (
	"context"
	"log/slog"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

// Event is something that happened to a session: one of *SessionStarted, *SessionRenewed, *SessionReplaced,
// *SessionEnded, *GrantsRevoked, *NotificationDelivered and *NotificationGivenUp. It is published by the host
// that caused it, after the store has recorded it.
type Event interface {
	// Attrs returns the attributes of the event in a log line.
	Attrs() []slog.Attr
	// Name returns the name of the event, in snake case.
	Name() string
}

// Subscriber receives events, one after another, in its own goroutine. A subscriber that is too slow misses
// events, which are counted and logged; one that panics misses that event. Neither delays anything else.
type Subscriber interface {
	Receive(ctx context.Context, event Event)
}

// SessionStarted means that a user signed in.
type SessionStarted struct {
	Time                                        time.Time
	SessionID, SubjectID, RemoteAddr, UserAgent string
}

// SessionRenewed means that a session was extended, because it was used or its user signed in again.
type SessionRenewed struct {
	Time                 time.Time
	SessionID, SubjectID string
}

// SessionReplaced means that a different user signed in over a session. The end of the session is a separate
// event.
type SessionReplaced struct {
	Time                       time.Time
	SessionID, SubjectID       string
	NewSessionID, NewSubjectID string
}

// SessionEnded means that a session has ended. Actor is who ended it, if not its user (WithActor).
type SessionEnded struct {
	Time                 time.Time
	SessionID, SubjectID string
	Reason               logout.Reason
	Actor                string
	// More counts further sessions that ended with it but are not named, because they were too many.
	More int
}

// GrantsRevoked counts tokens and consents that were revoked, with or without their sessions. SessionID and
// SubjectID are the selection; either may be empty.
type GrantsRevoked struct {
	Time                 time.Time
	SessionID, SubjectID string
	Tokens, Consents     int
	Reason               logout.Reason
	Actor                string
}

// NotificationDelivered means that a client accepted the notification of the end of a session.
type NotificationDelivered struct {
	Time         time.Time
	Notification logout.Notification
}

// NotificationGivenUp means that a client refused its notification, or that the retry window closed. Problem
// is the reason.
type NotificationGivenUp struct {
	Time         time.Time
	Notification logout.Notification
	Problem      string
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

// Name returns "notification_delivered".
func (*NotificationDelivered) Name() string { return "notification_delivered" }

// Name returns "notification_given_up".
func (*NotificationGivenUp) Name() string { return "notification_given_up" }

func whose(sid, subject string, more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{slog.String("session_id", sid), slog.String("subject_id", subject)}, more...)
}

// Attrs implements Event.
func (e *SessionStarted) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.String("remote_addr", e.RemoteAddr),
		slog.String("user_agent", e.UserAgent))
}

// Attrs implements Event.
func (e *SessionRenewed) Attrs() []slog.Attr { return whose(e.SessionID, e.SubjectID) }

// Attrs implements Event.
func (e *SessionReplaced) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.String("new_session_id", e.NewSessionID),
		slog.String("new_subject_id", e.NewSubjectID))
}

// Attrs implements Event.
func (e *SessionEnded) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.String("reason", string(e.Reason)),
		slog.String("actor", e.Actor), slog.Int("more", e.More))
}

// Attrs implements Event.
func (e *GrantsRevoked) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.Int("tokens", e.Tokens), slog.Int("consents", e.Consents),
		slog.String("reason", string(e.Reason)), slog.String("actor", e.Actor))
}

// Attrs implements Event.
func (e *NotificationDelivered) Attrs() []slog.Attr { return ofNotification(&e.Notification) }

// Attrs implements Event.
func (e *NotificationGivenUp) Attrs() []slog.Attr {
	return append(ofNotification(&e.Notification), slog.String("problem", e.Problem))
}

func ofNotification(n *logout.Notification) []slog.Attr {
	return whose(n.SessionID, n.SubjectID, slog.String("client_id", n.ClientID),
		slog.String("notification_id", n.ID))
}

// eventLog is a Subscriber that writes a log.
type eventLog struct{ logger *slog.Logger }

// NewEventLog returns a Subscriber that writes each event to the logger.
func NewEventLog(logger *slog.Logger) Subscriber { return eventLog{logger} }

// Receive writes one line.
func (l eventLog) Receive(ctx context.Context, event Event) {
	//nolint:sloglint // event names are constants
	l.logger.LogAttrs(ctx, slog.LevelInfo, event.Name(), event.Attrs()...)
}
