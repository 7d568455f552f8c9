package account

// The audit of what users change here: lines like those of the admin routes, whose README documents them.

import (
	"log/slog"
	"net/http"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/internal/auditlog"
)

// actions are what the audit calls the changes, by the end of their addresses.
var actions = map[string]string{
	"end": "end_own_session", "end-others": "end_other_sessions", "revoke": "revoke_own_consent",
}

// record collects what the audit says of a change.
type record struct{ attrs []slog.Attr }

func (c *record) add(attrs ...slog.Attr) { c.attrs = append(c.attrs, attrs...) }

// log writes the line of a change that was asked for. session is nil where nobody is signed in.
func (h *handler) log(
	r *http.Request, session *hostadapter.Session, requestID, action string, change *record,
	status int, err error,
) {
	attrs := append(auditlog.Request(r, requestID, action, h.Sessions.RemoteAddr(r), status),
		slog.String("result", auditlog.ResultOf(status, err)))
	if session != nil {
		attrs = append(attrs, slog.String("actor_id", auditlog.Bounded(session.SubjectID)),
			slog.String("by_session_id", session.SessionID))
	}
	h.stream.WriteEnd(r.Context(), append(attrs, change.attrs...), err)
}
