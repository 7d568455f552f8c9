// Package auditlog writes audit records for operators and users. The README of package admin documents their
// fields.
package auditlog

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	// RequestIDHeader identifies a request in the audit and in its response. A proxy may have set it.
	RequestIDHeader = "X-Request-Id"
	maxRequestID    = 128
	// maxText bounds client-supplied text in a line, in bytes.
	maxText = 256
)

// The results of an attempt.
const (
	Done    = "done"
	Started = "started" // it continues as a job
	Refused = "refused" // the caller is unknown, or lacks the permission
	Failed  = "failed"  // nothing was changed
	Unknown = "unknown" // it failed, and a change may have been applied
)

// ResultOf returns the result of a request with that response status.
func ResultOf(status int, err error) string {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusTooManyRequests:
		return Refused
	case status >= http.StatusInternalServerError:
		return Unknown
	case err != nil, status >= http.StatusBadRequest:
		return Failed
	}
	return Done
}

// Stream is the destination of audit lines.
type Stream struct {
	// Message is the message of the lines.
	Message string
	// To handles the lines; if nil they are written to Logger. Its Enabled is not called.
	To     slog.Handler
	Logger *slog.Logger
	Now    func() time.Time
}

// Write writes a line, without empty text and list attributes. If To fails, the line is written to Logger
// together with the error, so that it is not lost silently.
func (s *Stream) Write(ctx context.Context, level slog.Level, attrs []slog.Attr) {
	attrs = slices.DeleteFunc(attrs, isEmpty)
	if s.To == nil {
		s.Logger.LogAttrs(ctx, level, s.Message, attrs...) //nolint:sloglint // one of two constants
		return
	}
	line := slog.NewRecord(s.Now(), level, s.Message, 0)
	line.AddAttrs(attrs...)
	if err := s.To.Handle(ctx, line); err != nil {
		s.Logger.ErrorContext(ctx, "the audit cannot be written and is logged here instead", "error", err)
		s.Logger.LogAttrs(ctx, level, s.Message, attrs...) //nolint:sloglint // one of two constants
	}
}

// WriteEnd writes the line of a finished request: a warning with the error if it failed.
func (s *Stream) WriteEnd(ctx context.Context, attrs []slog.Attr, err error) {
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	s.Write(ctx, level, attrs)
}

// isEmpty reports whether a text or a list is empty. Numbers and booleans are never empty.
func isEmpty(attr slog.Attr) bool {
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

// Request returns the attributes common to all lines about a request.
func Request(r *http.Request, requestID, action, remoteAddr string, status int) []slog.Attr {
	return []slog.Attr{
		slog.String("request_id", requestID), slog.String("action", action),
		slog.String("remote_addr", Bounded(remoteAddr)), slog.String("method", Bounded(r.Method)),
		slog.String("path", Bounded(r.URL.Path)), slog.Int("status", cmp.Or(status, http.StatusOK)),
	}
}

// RequestID returns the id of a request: the one in its header if it is well formed, or else a new one. It is
// only a name for log lines and proves nothing.
func RequestID(r *http.Request) string {
	given := r.Header.Get(RequestIDHeader)
	if given == "" || len(given) > maxRequestID || strings.ContainsFunc(given, notInID) {
		return rand.Text()
	}
	return given
}

// notInID reports whether a rune does not occur in UUIDs, ULIDs or base64.
func notInID(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') &&
		!strings.ContainsRune("-_.:+/=", r)
}

// Cut truncates a text that a client sent.
func Cut(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// Bounded makes a text that a client sent safe for a log line in any format: bounded in length, and without
// characters that end a line or control a terminal.
func Bounded(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, Cut(text, maxText))
}
