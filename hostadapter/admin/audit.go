package admin

// The audit: one line for each change and each refused attempt. README.md documents its fields.

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/internal/auditlog"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// audit collects the audit attributes of a request.
type audit struct {
	requestID string
	action    string
	actor     Actor
	job       string // the job that the request started, or ""
	attrs     []slog.Attr
}

// startedJob records the job that the request started.
func (a *audit) startedJob(job string) {
	a.job = job
	a.add(slog.String("job", job))
}

func (a *audit) add(attrs ...slog.Attr) { a.attrs = append(a.attrs, attrs...) }

func (m *mount) log(r *http.Request, record *audit, permission Permission, status int, err error) {
	attrs := append(auditlog.Request(r, record.requestID, record.action, m.sessions.RemoteAddr(r), status),
		slog.String("permission", string(permission)),
		slog.String("result", auditResult(record, status, err)),
		slog.String("actor_id", auditlog.Bounded(record.actor.ID)),
		slog.String("actor_name", auditlog.Bounded(record.actor.Name)))
	m.stream.WriteEnd(r.Context(), append(attrs, record.attrs...), err)
}

// auditResult returns the audit's result for a response.
func auditResult(record *audit, status int, err error) string {
	result := auditlog.ResultOf(status, err)
	switch {
	case errors.Is(err, ErrUnauthenticated): // the browser is redirected to sign in
		return auditlog.Refused
	case result == auditlog.Done && record.job != "":
		return auditlog.Started
	}
	return result
}

// counted returns the audit attributes of a removal's counts.
func counted(result *logout.Result) []slog.Attr {
	return []slog.Attr{
		slog.Int("sessions_removed", result.SessionsRemoved),
		slog.Int("grants_revoked", result.GrantsRevoked),
		slog.Int("consents_revoked", result.ConsentsRevoked),
		slog.Int("notifications_queued", result.NotificationsQueued),
	}
}

// removalOf returns the audit attributes of a removal request.
func removalOf(r *hostadapter.SessionRemoval) []slog.Attr {
	return []slog.Attr{
		slog.Bool("all", r.All), slog.String("subject_id", r.SubjectID),
		slog.String("session_id", r.SessionID),
		slog.Any("client_ids", r.ClientIDs), slog.String("reason", r.Reason), slog.Bool("dry_run", r.DryRun),
		slog.Bool("remove_server_side_session", !r.KeepSession),
		slog.Bool("send_backchannel_logout_notification", !r.SkipNotification),
		slog.Bool("revoke_tokens", !r.KeepTokens), slog.Bool("revoke_consents", !r.KeepConsents),
	}
}

// countSessions records how many sessions a change may end, and returns a function that records how many are
// left. Other sign-ins and sign-outs may happen in between. A failed count is omitted.
func (m *mount) countSessions(
	ctx context.Context, record *audit, filters ...ticketstore.SessionFilter,
) (after func()) {
	count := func(name string) {
		sum := 0
		for _, filter := range filters {
			page, err := m.sessions.QuerySessions(ctx, ticketstore.SessionQuery{Filter: filter, Count: 1})
			if err != nil || page.TotalCount < 0 {
				return
			}
			sum += page.TotalCount
		}
		record.add(slog.Int(name, sum))
	}
	count("sessions_before")
	return func() { count("sessions_after") }
}

// countGrants is countSessions for grants. More than ticketstore.MaxCount grants are not counted.
func (m *mount) countGrants(ctx context.Context, record *audit, filter grantstore.Filter) (after func()) {
	count := func(name string) {
		page, err := m.sessions.QueryGrants(ctx,
			grantstore.Query{Filter: filter, Count: ticketstore.MaxCount})
		if err == nil && !page.HasNext {
			record.add(slog.Int(name, len(page.Grants)))
		}
	}
	count("grants_before")
	return func() { count("grants_after") }
}
