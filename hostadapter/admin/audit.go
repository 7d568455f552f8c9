package admin

// The audit: one line for each change and each refused attempt. README.md documents its fields.

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	auditMessage = "admin audit"
	// requestIDHeader names a request in the audit and its answer. A proxy may have named it before.
	requestIDHeader = "X-Request-Id"
	maxRequestID    = 128
)

// The results of an attempt in the audit.
const (
	resultDone    = "done"
	resultStarted = "started" // it goes on as a job
	resultRefused = "refused" // the sender is not known, or lacks the permission
	resultFailed  = "failed"  // nothing was changed
	resultUnknown = "unknown" // it failed, and a change may have been carried out
)

// audit collects what is said of a request.
type audit struct {
	requestID string
	action    string
	actor     Actor
	status    int // of an answer that is not 200
	attrs     []slog.Attr
}

func (a *audit) add(attrs ...slog.Attr) { a.attrs = append(a.attrs, attrs...) }

// requestID returns what a request is called: what the sender, or a proxy, says if that is an id, else a new
// one. It names lines and proves nothing.
func requestID(r *http.Request) string {
	given := r.Header.Get(requestIDHeader)
	if given == "" || len(given) > maxRequestID || strings.ContainsFunc(given, notInID) {
		return rand.Text()
	}
	return given
}

// notInID reports whether a rune is none of a UUID, a ULID, or of base64.
func notInID(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') &&
		!strings.ContainsRune("-_.:+/=", r)
}

func (m *mount) log(r *http.Request, record *audit, permission Permission, status int, err error) {
	attrs := []slog.Attr{
		slog.String("request_id", record.requestID),
		slog.String("action", record.action), slog.String("permission", string(permission)),
		slog.String("result", auditResult(record, status, err)),
		slog.String("actor_id", bounded(record.actor.ID)),
		slog.String("actor_name", bounded(record.actor.Name)),
		slog.String("remote_addr", bounded(m.sessions.RemoteAddr(r))),
		slog.String("method", bounded(r.Method)),
		slog.String("path", bounded(r.URL.Path)),
		slog.Int("status", status),
	}
	attrs = slices.DeleteFunc(append(attrs, record.attrs...), unknownAttr)
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	m.writeAudit(r.Context(), level, attrs)
}

// unknownAttr reports whether a field says nothing: a text or a list that is empty. Numbers and flags always
// say something.
func unknownAttr(attr slog.Attr) bool {
	switch value := attr.Value.Any().(type) {
	case nil:
		return true
	case string:
		return value == ""
	case []string:
		return len(value) == 0
	}
	return false
}

// auditResult says what came of a request.
func auditResult(record *audit, status int, err error) string {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusTooManyRequests, errors.Is(err, ErrUnauthenticated):
		return resultRefused
	case status >= http.StatusInternalServerError:
		return resultUnknown
	case err != nil, status >= http.StatusBadRequest:
		return resultFailed
	case record.started():
		return resultStarted
	}
	return resultDone
}

// started reports whether the request began a job.
func (a *audit) started() bool {
	for _, attr := range a.attrs {
		if attr.Key == "job" && (a.status == http.StatusAccepted || a.status == http.StatusSeeOther) {
			return true
		}
	}
	return false
}

// writeAudit writes a line to where the audit goes. One that cannot be written there goes to the log, with
// the reason: it is not lost without a word.
func (m *mount) writeAudit(ctx context.Context, level slog.Level, attrs []slog.Attr) {
	logger := m.sessions.Logger()
	if m.auditTo == nil {
		logger.LogAttrs(ctx, level, auditMessage, attrs...)
		return
	}
	line := slog.NewRecord(m.sessions.Now(), level, auditMessage, 0)
	line.AddAttrs(attrs...)
	if err := m.auditTo.Handle(ctx, line); err != nil {
		logger.ErrorContext(ctx, "the audit cannot be written, this line comes in its place", "error", err)
		logger.LogAttrs(ctx, level, auditMessage, attrs...)
	}
}

// countSessions notes in the audit how many sessions a change may end, and returns what notes how many are
// left. Others may sign in and out meanwhile. What cannot be counted is left out.
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

// countGrants is countSessions for grants. Beyond a page of ticketstore.MaxCount they are not counted.
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
