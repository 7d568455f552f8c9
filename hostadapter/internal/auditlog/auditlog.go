// Package auditlog writes the lines of the audit, for operators and for users: README.md of package admin
// documents their fields.
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
	// RequestIDHeader names a request in the audit and its answer. A proxy may have named it before.
	RequestIDHeader = "X-Request-Id"
	maxRequestID    = 128
	// maxText bounds what a sender makes up in a line, in bytes.
	maxText = 256
)

// The results of an attempt.
const (
	Done    = "done"
	Started = "started" // it goes on as a job
	Refused = "refused" // the sender is not known, or lacks the permission
	Failed  = "failed"  // nothing was changed
	Unknown = "unknown" // it failed, and a change may have been carried out
)

// ResultOf says what came of a request that was answered with that status.
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

// Stream is where lines go.
type Stream struct {
	// Message is what the lines are called.
	Message string
	// To takes the lines, nil has them written to the log. Its Enabled is not asked.
	To     slog.Handler
	Logger *slog.Logger
	Now    func() time.Time
}

// Write writes a line without the attributes that say nothing: a text or a list that is empty. One that
// cannot be written where the audit goes comes to the log, with the reason: it is not lost without a word.
func (s *Stream) Write(ctx context.Context, level slog.Level, attrs []slog.Attr) {
	attrs = slices.DeleteFunc(attrs, saysNothing)
	if s.To == nil {
		s.Logger.LogAttrs(ctx, level, s.Message, attrs...) //nolint:sloglint // one of two constants
		return
	}
	line := slog.NewRecord(s.Now(), level, s.Message, 0)
	line.AddAttrs(attrs...)
	if err := s.To.Handle(ctx, line); err != nil {
		s.Logger.ErrorContext(ctx, "the audit cannot be written, this line comes in its place", "error", err)
		s.Logger.LogAttrs(ctx, level, s.Message, attrs...) //nolint:sloglint // one of two constants
	}
}

// WriteEnd writes the line of a request that has come to its end: a warning, and why, where it failed.
func (s *Stream) WriteEnd(ctx context.Context, attrs []slog.Attr, err error) {
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	s.Write(ctx, level, attrs)
}

// saysNothing reports whether a text or a list is empty. Numbers and flags always say something.
func saysNothing(attr slog.Attr) bool {
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

// Request is what all lines about a request say of it.
func Request(r *http.Request, requestID, action, remoteAddr string, status int) []slog.Attr {
	return []slog.Attr{
		slog.String("request_id", requestID), slog.String("action", action),
		slog.String("remote_addr", Bounded(remoteAddr)), slog.String("method", Bounded(r.Method)),
		slog.String("path", Bounded(r.URL.Path)), slog.Int("status", cmp.Or(status, http.StatusOK)),
	}
}

// RequestID returns what a request is called: what the sender, or a proxy, says if that is an id, else a new
// one. It names lines and proves nothing.
func RequestID(r *http.Request) string {
	given := r.Header.Get(RequestIDHeader)
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

// Cut shortens a text that a client sent.
func Cut(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// Bounded is what a client sent, fit for a line of a log, whatever writes it: not too long, and without
// characters that end a line or change a terminal.
func Bounded(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, Cut(text, maxText))
}
