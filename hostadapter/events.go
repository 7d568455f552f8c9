package hostadapter

import (
	"context"
	"log/slog"
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
