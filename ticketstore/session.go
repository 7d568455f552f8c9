package ticketstore

// Sessions, their keys and their clients.

import (
	"crypto/sha256"
	"fmt"
	"io"
	"time"
)

// Key identifies a record without revealing its secret: the SHA-256 of a cookie's secret for a session, of a
// token's signature for a grant. The zero Key belongs to no record.
type Key [sha256.Size]byte

// KeyOf returns the Key of a secret.
func KeyOf[S string | []byte](secret S) Key {
	var room [64]byte // fits a token's signature: no allocation
	return sha256.Sum256(append(room[:0], secret...))
}

// String returns "[redacted]": a Key is enough to look up its record, so it must never reach a log.
func (Key) String() string { return "[redacted]" }

// GoString returns "[redacted]".
func (Key) GoString() string { return "[redacted]" }

// Format prints "[redacted]" for every verb.
func (Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "[redacted]") }

// MarshalText returns "[redacted]", for JSON and log handlers.
func (Key) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// IsZero reports whether the key is unset.
func (k Key) IsZero() bool { return k == Key{} }

// Session is the record of a user signed in with one browser.
type Session struct {
	// Key is the SHA-256 of the cookie's secret. It is left out of query results.
	Key Key
	// SessionID is the public sid (OpenID Connect Back-Channel Logout 1.0, section 2.1).
	SessionID string
	// SubjectID is the user, the sub claim.
	SubjectID string
	// DisplayName is shown to operators; it may be empty.
	DisplayName string
	// Issuer is the iss claim of the tokens of this session, and so of its logout tokens.
	Issuer string
	// AuthTime is when the user was last authenticated (OpenID Connect Core 1.0, section 2: auth_time).
	AuthTime time.Time
	// ACR and AMR describe how (OpenID Connect Core 1.0, section 2). Both may be empty.
	ACR string
	AMR []string
	// RemoteAddr and UserAgent are those of the sign-in.
	RemoteAddr string
	UserAgent  string
	// Created is when the session began, Renewed when it was last renewed.
	Created time.Time
	Renewed time.Time
	// Expires is the idle timeout: the session is over at this time unless it is renewed earlier.
	Expires time.Time
	// EndsAt is the absolute expiry, which renewals never pass. Zero means none.
	EndsAt time.Time
	// Ticket is the authentication ticket, sealed by the host; at most MaxTicket bytes. Query results omit
	// it.
	Ticket []byte
	// Visible holds properties that operators may see, sealed by the host for the sid alone; at most
	// MaxVisible bytes. Unlike Ticket it is part of query results.
	Visible []byte
	// Version grows with every change: Renew and Rekey compare and set it. The store sets it.
	Version uint64
}

// LiveAt reports whether the session is live at now: now is before Expires and, if EndsAt is set, before it.
func (s *Session) LiveAt(now time.Time) bool {
	return now.Before(s.Expires) && (s.EndsAt.IsZero() || now.Before(s.EndsAt))
}

// DueAt returns the time at which the session is over: the earlier of Expires and EndsAt.
func (s *Session) DueAt() time.Time {
	if !s.EndsAt.IsZero() && s.EndsAt.Before(s.Expires) {
		return s.EndsAt
	}
	return s.Expires
}

// Validate returns an error that names the field at fault if a store must not keep the session.
func (s *Session) Validate() error {
	if s.Key.IsZero() {
		return Invalidf("key", "is not set")
	}
	for _, id := range []struct{ field, value string }{
		{"session_id", s.SessionID}, {"subject_id", s.SubjectID}, {"issuer", s.Issuer},
	} {
		if err := CheckID(id.field, id.value); err != nil {
			return err
		}
	}
	for _, text := range []struct{ field, value string }{
		{"display_name", s.DisplayName}, {"acr", s.ACR}, {"remote_addr", s.RemoteAddr},
		{"user_agent", s.UserAgent},
	} {
		if err := CheckText(text.field, text.value, MaxText); err != nil {
			return err
		}
	}
	if len(s.AMR) > MaxAMR {
		return Invalidf("amr", "has more than %d entries", MaxAMR)
	}
	for _, method := range s.AMR {
		if err := CheckText("amr", method, MaxID); err != nil {
			return err
		}
	}
	if len(s.Ticket) > MaxTicket {
		return Invalidf("ticket", "is longer than %d bytes", MaxTicket)
	}
	if len(s.Visible) > MaxVisible {
		return Invalidf("visible", "is longer than %d bytes", MaxVisible)
	}
	return s.validateTimes()
}

func (s *Session) validateTimes() error {
	for _, t := range []struct {
		field string
		value time.Time
	}{{"auth_time", s.AuthTime}, {"created", s.Created}, {"renewed", s.Renewed}, {"expires", s.Expires}} {
		if t.value.IsZero() {
			return Invalidf(t.field, "is not set")
		}
	}
	// A session that is over at creation would be due before it is listed.
	if !s.DueAt().After(s.Created) {
		return Invalidf("expires", "is not after created")
	}
	return nil
}

// ClientUse records a client's use of a session. It is a separate row, so that concurrent authorizations
// never overwrite each other's.
type ClientUse struct {
	ClientID string
	// FirstUsed is when the client first got a token or an authorization response in the session, LastUsed
	// when it last did.
	FirstUsed time.Time
	LastUsed  time.Time
	// Notify: the client had a back-channel logout URI when it last used the session.
	Notify bool
	// Coordinated: the client's activity keeps the session alive.
	Coordinated bool
	// Muted are the ways of ending of which the client is not notified.
	Muted Ends
	// TokenNumber is raised when the client's tokens are revoked while the session stays: grants stored under
	// a lower number are dead.
	TokenNumber uint64
}

// SessionDetail is a session with the clients that used it, as listings and the admin's view of one session
// show it. Its Session has neither Key nor Ticket.
type SessionDetail struct {
	Session
	// Clients are ordered by FirstUsed. Clients detached by a removal that kept the session are left out.
	Clients []ClientUse
}
