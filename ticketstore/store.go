package ticketstore

// The Store interface, and its requests to renew and rekey sessions.

import (
	"context"
	"time"
)

// Store keeps the sessions of signed-in users. Implementations are safe for concurrent use and read no clock:
// the current time is passed in as now. Every method may return ErrUnavailable, and ErrInvalid for a request
// that is itself invalid.
type Store interface {
	// Create stores a new session durably before it returns. It returns ErrExists if a session with the same
	// Key or SessionID exists, or if an ended session still on record has the SessionID. Of two concurrent
	// calls with the same key or sid exactly one succeeds. It may be retried after a lost answer: a repeated
	// call with the same Key and SessionID succeeds.
	Create(ctx context.Context, session *Session) error

	// CreateWithin creates a session like Create and enforces the limit in the same transaction, so that
	// concurrent calls cannot exceed it together. Sessions that are live at now count. If there is no room it
	// either ends the oldest sessions and returns their sids, or returns ErrTooManySessions and changes
	// nothing. If more sessions must end than fit into one transaction, those already ended stay ended even
	// if the call fails. A repeated call succeeds and returns no sids.
	CreateWithin(ctx context.Context, session *Session, limit Limit, now time.Time) (ended []string,
		err error)

	// Get returns the session with the key, including its Ticket. It returns ErrNotFound if the session is
	// unknown or ended. A session that has expired but was not yet ended is returned, so that the caller can
	// end it: check LiveAt.
	Get(ctx context.Context, key Key) (*Session, error)

	// Find returns the session with the sid and the clients that used it, without Key and Ticket. It returns
	// ErrNotFound if the session is unknown or ended; a session that has expired but was not yet ended is
	// returned.
	Find(ctx context.Context, sessionID string) (*SessionDetail, error)

	// Renew moves Expires to a later time, at most to EndsAt, and returns the session. It returns ErrNotFound
	// if the session is missing or ended, ErrExpired if it is over at now, and ErrConflict if its Version
	// differs from the given one because of a concurrent renewal. It never moves Expires back (rule 9).
	Renew(ctx context.Context, renewal Renewal, now time.Time) (*Session, error)

	// Rekey replaces the cookie's key, the ticket and the circumstances of the sign-in, and keeps sid,
	// clients and creation time: the same user signed in again or stepped up (rule 10). Afterwards the old
	// key is ErrNotFound. A NewKey equal to Key keeps the cookie: the host only seals the ticket again.
	// Errors are those of Renew, and ErrExists if NewKey is taken.
	Rekey(ctx context.Context, rekey Rekey, now time.Time) (*Session, error)

	// Query returns a page of sessions, including those that have expired but were not yet ended.
	// SessionQuery and Page define order, tokens and totals. A row present throughout a walk is returned
	// exactly once, whatever is added or ended meanwhile (rule 5).
	Query(ctx context.Context, query SessionQuery) (*Page, error)
}

// Renewal asks to renew a session.
type Renewal struct {
	Key     Key
	Version uint64 // as read
	Expires time.Time
}

// Rekey asks for a new cookie for a session and carries the circumstances of the sign-in.
type Rekey struct {
	Key     Key    // current
	Version uint64 // as read
	NewKey  Key    // may equal Key

	DisplayName string
	AuthTime    time.Time
	ACR         string
	AMR         []string
	RemoteAddr  string
	UserAgent   string
	Expires     time.Time
	EndsAt      time.Time
	Ticket      []byte
	Visible     []byte
}

// Apply returns the session after the Rekey at now: sid, subject, issuer and creation time are kept, Version
// is raised.
func (r *Rekey) Apply(old *Session, now time.Time) *Session {
	s := *old
	s.Key, s.DisplayName, s.AuthTime, s.ACR, s.AMR = r.NewKey, r.DisplayName, r.AuthTime, r.ACR, r.AMR
	s.RemoteAddr, s.UserAgent, s.Renewed, s.Expires, s.EndsAt, s.Ticket = r.RemoteAddr, r.UserAgent, now,
		r.Expires, r.EndsAt, r.Ticket
	s.Visible = r.Visible
	s.Version = old.Version + 1
	return &s
}

// Description describes a backend.
type Description struct {
	// Name is the name of the engine: "badger".
	Name string
	// Version is the version of the build.
	Version string
	// Format is the version of the stored data.
	Format uint32
	// Services are the services it provides: "tickets", "grants", "logout", "properties".
	Services []string
	// Shared: several hosts may use the store concurrently.
	Shared bool
	// StoreID identifies the stored data: every binary that serves the same data reports the same id, and no
	// other data has it. Empty if the data does not outlive the process.
	StoreID string
	// Trouble says why the backend currently refuses some changes, such as a disk that is nearly full. Empty
	// otherwise.
	Trouble string
	// Hosts are the hosts that have a Shared store open, including this one; at most MaxHosts.
	Hosts []Host
}

// MaxHosts bounds Description.Hosts.
const MaxHosts = 1024

// Host is a host that has a shared store open.
type Host struct {
	// Name is its machine's host name, Version the version of its build.
	Name, Version string
	// Beat is the time of its last heartbeat, by the store's clock.
	Beat time.Time
	// Joined is when it opened the store, by the same clock. It distinguishes hosts on one machine. Zero if
	// unknown.
	Joined time.Time
}
