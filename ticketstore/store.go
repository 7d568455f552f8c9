package ticketstore

// The Store interface, and renewals and sign-ins of sessions.

import (
	"context"
	"time"
)

// Store keeps the sessions of signed-in users. Implementations are safe for concurrent use and read no clock:
// every moment is passed in as now. Every method may return ErrUnavailable, and ErrInvalid for a request that
// is wrong in itself.
type Store interface {
	// Create stores a new session durably before it returns. A session that exists (same Key or SessionID),
	// or whose SessionID belongs to an ended session still on record, is ErrExists. Of two concurrent ones
	// with the same key or sid exactly one succeeds. Repeating a Create whose answer was lost, with the same
	// Key and SessionID, succeeds.
	Create(ctx context.Context, session *Session) error

	// CreateWithin does what Create does and enforces the limit in the same transaction, so that concurrent
	// calls cannot exceed it together: sessions that are live at now count. Where there is no room it either
	// ends the oldest and returns their sids, or refuses with ErrTooManySessions and changes nothing. Where
	// more must end than fit into one transaction, those that ended first stay ended even if the call fails.
	// A repeated call succeeds and returns no sids.
	CreateWithin(ctx context.Context, session *Session, limit Limit, now time.Time) (ended []string,
		err error)

	// Get returns the session of a cookie with its Ticket. An unknown or ended one is ErrNotFound; an expired
	// one that was not yet ended is returned, so that the caller can end it: check LiveAt.
	Get(ctx context.Context, key Key) (*Session, error)

	// Find returns the session with that sid and the clients that used it, without Key and Ticket. An unknown
	// or ended one is ErrNotFound; an expired one that was not yet ended is returned.
	Find(ctx context.Context, sessionID string) (*SessionDetail, error)

	// Renew slides the session to a later Expires, at most to its EndsAt, and returns the session. A missing
	// or ended one is ErrNotFound, one that is over at now ErrExpired, one whose Version is no longer the
	// given one ErrConflict: another renewal was first. It never moves Expires back (rule 9).
	Renew(ctx context.Context, renewal Renewal, now time.Time) (*Session, error)

	// Rekey replaces the cookie's key, the ticket and how the user signed in, and keeps sid, clients and
	// creation: the same user signed in again or stepped up (rule 10). The old key is ErrNotFound from then
	// on. A NewKey that is the old one keeps the cookie: the host seals the ticket again. Missing, over,
	// changed and taken keys are errors as with Renew and Create.
	Rekey(ctx context.Context, rekey Rekey, now time.Time) (*Session, error)

	// Query returns a page of sessions, expired ones that were not yet ended included. The rules of order,
	// tokens and totals are those of SessionQuery and Page. A row present throughout a walk is shown exactly
	// once, whatever is added or ended meanwhile (rule 5).
	Query(ctx context.Context, query SessionQuery) (*Page, error)
}

// Renewal asks for a session to slide.
type Renewal struct {
	Key     Key
	Version uint64 // as read
	Expires time.Time
}

// Rekey asks for a new cookie of a session and carries the circumstances of the sign-in.
type Rekey struct {
	Key     Key    // as it is
	Version uint64 // as read
	NewKey  Key    // may be Key

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

// Apply returns the session as a Rekey leaves it at now: sid, subject, issuer and creation are kept, Version
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

// Description is what a backend reports about itself.
type Description struct {
	// Name is the engine's: "badger".
	Name string
	// Version is the build's.
	Version string
	// Format is the version of the stored data.
	Format uint32
	// Services are what it serves: "tickets", "grants", "logout", "properties".
	Services []string
	// Shared: several hosts may use it concurrently.
	Shared bool
	// StoreID names the stored data: another binary that serves the same data reports the same, and no other
	// data does. Empty where the data does not outlive the process.
	StoreID string
	// Trouble says why the backend refuses some changes at present, such as a disk that is nearly full. Empty
	// otherwise.
	Trouble string
	// Hosts are the programs that have a Shared store open, this one among them; at most MaxHosts.
	Hosts []Host
}

// MaxHosts bounds Description.Hosts.
const MaxHosts = 1024

// Host is a program that has a shared store open.
type Host struct {
	// Name is that of its machine, Version its build's.
	Name, Version string
	// Beat is when it last said that it runs, by the store's clock.
	Beat time.Time
	// Joined is when it opened the store, by the same clock: what tells hosts of one machine apart. Zero:
	// unknown.
	Joined time.Time
}
