package ticketstore

// Sessions, their keys and their clients.

import (
	"crypto/sha256"
	"fmt"
	"io"
	"time"
)

// Key finds a record without naming its secret: the SHA-256 of a cookie's secret for a session, of a token's
// signature for a grant. The zero Key belongs to no record.
type Key [sha256.Size]byte

// KeyOf returns the Key of a secret.
func KeyOf[S string | []byte](secret S) Key {
	var room [64]byte // for a token's signature, without an allocation
	return sha256.Sum256(append(room[:0], secret...))
}

// String returns "[redacted]": with a Key its record can be looked up, so it never reaches a log.
func (Key) String() string { return "[redacted]" }

// GoString returns what String does.
func (Key) GoString() string { return "[redacted]" }

// Format prints what String returns, for every verb.
func (Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "[redacted]") }

// MarshalText returns what String does, for JSON and for log handlers that write it.
func (Key) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// IsZero reports whether the key was never set.
func (k Key) IsZero() bool { return k == Key{} }

// Session is the record of one user signed in with one browser.
type Session struct {
	// Key is the SHA-256 of the cookie's secret. It is left out of query results.
	Key Key
	// SessionID is the public sid (OpenID Connect Back-Channel Logout 1.0, section 2.1).
	SessionID string
	// SubjectID is the user, the sub claim.
	SubjectID string
	// DisplayName is what an operator reads; it may be empty.
	DisplayName string
	// Issuer is the iss claim of the tokens of this session, and so of its logout tokens.
	Issuer string
	// AuthTime is when the user was last authenticated (OpenID Connect Core 1.0, section 2: auth_time).
	AuthTime time.Time
	// ACR and AMR say how (OpenID Connect Core 1.0, section 2). Both may be empty.
	ACR string
	AMR []string
	// RemoteAddr and UserAgent are those of the sign-in.
	RemoteAddr string
	UserAgent  string
	// Created is when the session began, Renewed when it last slid.
	Created time.Time
	Renewed time.Time
	// Expires is the idle timeout: the session is over from then on unless renewed before.
	Expires time.Time
	// EndsAt is the absolute expiry, which no renewal passes. Zero means none.
	EndsAt time.Time
	// Ticket is the authentication ticket, sealed by the host; at most MaxTicket bytes. It is left out of
	// query results.
	Ticket []byte
	// Visible are properties that operators may see, sealed by the host for the sid alone; at most MaxVisible
	// bytes. Unlike Ticket it is part of query results.
	Visible []byte
	// Version grows with every change and makes Renew and Rekey compare-and-set. The store sets it.
	Version uint64
}

// LiveAt reports whether the session is live at now: now is before Expires and, if there is one, before
// EndsAt.
func (s *Session) LiveAt(now time.Time) bool {
	return now.Before(s.Expires) && (s.EndsAt.IsZero() || now.Before(s.EndsAt))
}

// DueAt returns the moment from which the session is over: Expires, or EndsAt where that is earlier.
func (s *Session) DueAt() time.Time {
	if !s.EndsAt.IsZero() && s.EndsAt.Before(s.Expires) {
		return s.EndsAt
	}
	return s.Expires
}

// Validate refuses a session that a store must not keep, naming the field at fault.
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
	// A session that is over when it begins would be due before it is listed.
	if !s.DueAt().After(s.Created) {
		return Invalidf("expires", "is not after created")
	}
	return nil
}

// ClientUse is one client's part in a session: a row of its own, so that concurrent authorizations never lose
// one.
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
	// Muted are the ends of the session of which the client is not notified.
	Muted Ends
	// TokenNumber rises when the client's tokens are revoked while the session stays: grants stored under a
	// lower number are dead.
	TokenNumber uint64
}

// SessionDetail is a session with the clients that used it, as SessionIDs listings and the admin's view of
// one session show it. Its Session has neither Key nor Ticket.
type SessionDetail struct {
	Session
	// Clients are in the order of their FirstUsed. Clients detached by a removal that kept the session are
	// left out.
	Clients []ClientUse
}
