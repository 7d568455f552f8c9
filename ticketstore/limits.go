package ticketstore

// Limits on the sizes of stored values.

import (
	"strings"
	"unicode/utf8"
)

// Limits on sizes, in bytes. A larger value is refused with a *FieldError before anything is changed.
const (
	// MaxID bounds subject, session, client, request and operation ids.
	MaxID = 512
	// MaxText bounds display names, user agents, descriptions and other short texts.
	MaxText = 4 << 10
	// MaxTicket bounds Session.Ticket.
	MaxTicket = 64 << 10
	// MaxVisible bounds Session.Visible.
	MaxVisible = 4 << 10
	// MaxAMR bounds the number of entries in Session.AMR.
	MaxAMR = 32
	// MaxClients bounds the clients of a session, including detached ones, because a session ends in one
	// transaction with a notification for each (rule 1). Exceeding it is ErrTooManyClients.
	MaxClients = 256
)

// CheckID returns an error if an id is empty, longer than MaxID, not UTF-8, or contains NUL. Indexes rely on
// it.
func CheckID(field, id string) error {
	if id == "" {
		return Invalidf(field, "is empty")
	}
	return CheckText(field, id, MaxID)
}

// CheckPositive returns an error if n is below one.
func CheckPositive(field string, n int) error {
	if n < 1 {
		return Invalidf(field, "is not positive")
	}
	return nil
}

// CheckText returns an error if a text is longer than limit bytes, not UTF-8, or contains NUL. It may be
// empty.
func CheckText(field, text string, limit int) error {
	switch {
	case len(text) > limit:
		return Invalidf(field, "is longer than %d bytes", limit)
	case !utf8.ValidString(text):
		return Invalidf(field, "is not UTF-8")
	case strings.IndexByte(text, 0) >= 0:
		return Invalidf(field, "contains a NUL byte")
	}
	return nil
}
