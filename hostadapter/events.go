package hostadapter

// Events: what subscribers receive about sessions.

import (
	"context"
	"log/slog"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

// Event is something that has happened to a session: one of *SessionStarted, *SessionRenewed,
// *SessionReplaced, *SessionEnded, *GrantsRevoked, *NotificationDelivered and *NotificationGivenUp. It is
// published once the store has it, on the host that did it.
type Event interface {
	// Attrs are the event as a log shows it.
	Attrs() []slog.Attr
	// Name is the event's, in snake case.
	Name() string
}

// Subscriber receives events, one after another, in a goroutine of its own. One that is slow misses events,
// which are counted and logged; one that panics misses that event. Neither holds anything up.
type Subscriber interface {
	Receive(ctx context.Context, event Event)
}

// SessionStarted says that a user signed in.
type SessionStarted struct {
	Time                                        time.Time
	SessionID, SubjectID, RemoteAddr, UserAgent string
}

// SessionRenewed says that a session was extended because it was used or because its user signed in again.
type SessionRenewed struct {
	Time                 time.Time
	SessionID, SubjectID string
}

// SessionReplaced says that another user signed in over a session. Its end is an event of its own.
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

// GrantsRevoked counts tokens and consents that were revoked, with their sessions or without. SessionID and
// SubjectID are what was selected, each may be empty.
type GrantsRevoked struct {
	Time                 time.Time
	SessionID, SubjectID string
	Tokens, Consents     int
	Reason               logout.Reason
	Actor                string
}

// NotificationDelivered says that a client accepted the notification of the end of a session.
type NotificationDelivered struct {
	Time         time.Time
	Notification logout.Notification
}

// NotificationGivenUp says that a client refused its notification, or that the retry window has closed.
// Problem says why.
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

// Attrs returns the event as a log shows it.
func (e *SessionStarted) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.String("remote_addr", e.RemoteAddr),
		slog.String("user_agent", e.UserAgent))
}

// Attrs returns the event as a log shows it.
func (e *SessionRenewed) Attrs() []slog.Attr { return whose(e.SessionID, e.SubjectID) }

// Attrs returns the event as a log shows it.
func (e *SessionReplaced) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.String("new_session_id", e.NewSessionID),
		slog.String("new_subject_id", e.NewSubjectID))
}

// Attrs returns the event as a log shows it.
func (e *SessionEnded) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.String("reason", string(e.Reason)),
		slog.String("actor", e.Actor), slog.Int("more", e.More))
}

// Attrs returns the event as a log shows it.
func (e *GrantsRevoked) Attrs() []slog.Attr {
	return whose(e.SessionID, e.SubjectID, slog.Int("tokens", e.Tokens), slog.Int("consents", e.Consents),
		slog.String("reason", string(e.Reason)), slog.String("actor", e.Actor))
}

// Attrs returns the event as a log shows it.
func (e *NotificationDelivered) Attrs() []slog.Attr { return ofNotification(&e.Notification) }

// Attrs returns the event as a log shows it.
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
	//nolint:sloglint // a few names, each a constant
	l.logger.LogAttrs(ctx, slog.LevelInfo, event.Name(), event.Attrs()...)
}
