package account

// The audit of users' changes: lines like those of the admin routes, whose README documents them.

import (
	"log/slog"
	"net/http"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/internal/auditlog"
)

// actions maps the last element of a change's URL to its action in the audit.
var actions = map[string]string{
	"end": "end_own_session", "end-others": "end_other_sessions", "revoke": "revoke_own_consent",
}

// record collects attributes for the audit of a change.
type record struct{ attrs []slog.Attr }

func (c *record) add(attrs ...slog.Attr) { c.attrs = append(c.attrs, attrs...) }

// log writes the audit line of an attempted change. session is nil without a signed-in user.
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
