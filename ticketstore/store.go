package ticketstore

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

	// CreateWithin does what Create does and holds the subject to the limit in the same transaction, so that
	// concurrent ones cannot pass it together: sessions that are live at now count. Where there is no room it
	// either ends the oldest and returns their sids, or refuses with ErrTooManySessions and changes nothing.
	// Where so many have to go that one transaction cannot end them, those that are ended first stay ended
	// whatever becomes of the rest. A repeated one succeeds and returns no sids.
	CreateWithin(ctx context.Context, session *Session, limit Limit, now time.Time) (ended []string,
		err error)

	// Get returns the session of a cookie with its Ticket. An unknown or ended one is ErrNotFound; an expired
	// one that was not yet ended is returned as it is, so that the caller can end it: check LiveAt.
	Get(ctx context.Context, key Key) (*Session, error)

	// Find returns the session with that sid and the clients that used it, without Key and Ticket. An unknown
	// or ended one is ErrNotFound; an expired one that was not yet ended is returned as it is.
	Find(ctx context.Context, sessionID string) (*SessionDetail, error)

	// Renew slides the session to a later Expires, at most to its EndsAt, and returns the session as it is
	// then. A missing or ended one is ErrNotFound, one that is over at now ErrExpired, one whose Version is
	// no longer the given one ErrConflict: another renewal came first. It never moves Expires back.
	Renew(ctx context.Context, renewal Renewal, now time.Time) (*Session, error)

	// Rekey replaces the cookie's key, the ticket and how the user signed in, and keeps sid, clients and
	// creation: the same user signed in again or stepped up. The old key is ErrNotFound from then on. A
	// NewKey that is the old one keeps the cookie: the host seals the ticket anew. Missing, over, changed and
	// taken keys are errors as with Renew and Create.
	Rekey(ctx context.Context, rekey Rekey, now time.Time) (*Session, error)

	// Query returns a page of sessions, expired ones that were not yet ended included. The rules of order,
	// tokens and totals are those of SessionQuery and Page. A row present throughout a walk is shown exactly
	// once, whatever is added or ended meanwhile.
	Query(ctx context.Context, query SessionQuery) (*Page, error)
}

// Renewal asks for a session to slide.
type Renewal struct {
	Key     Key
	Version uint64 // as read
	Expires time.Time
}

// Rekey asks for a session to get a new cookie and, with it, the circumstances of the sign-in that made it
// necessary.
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
}

// Apply returns the session as a Rekey leaves it at now: sid, subject, issuer and creation are kept, Version
// is raised.
func (r *Rekey) Apply(old *Session, now time.Time) *Session {
	s := *old
	s.Key, s.DisplayName, s.AuthTime, s.ACR, s.AMR = r.NewKey, r.DisplayName, r.AuthTime, r.ACR, r.AMR
	s.RemoteAddr, s.UserAgent, s.Renewed, s.Expires, s.EndsAt, s.Ticket = r.RemoteAddr, r.UserAgent, now,
		r.Expires, r.EndsAt, r.Ticket
	s.Version = old.Version + 1
	return &s
}

// Description is what a backend says of itself.
type Description struct {
	// Name is the engine's: "badger".
	Name string
	// Version is the build's.
	Version string
	// Format is the version of the stored data.
	Format uint32
	// Services are what it serves: "tickets", "grants", "logout", "properties".
	Services []string
	// Shared: several hosts may use it at once.
	Shared bool
	// StoreID names the stored data: another binary that serves the same data says the same, and no other
	// data ever does. Empty where the data does not outlive the process.
	StoreID string
	// Trouble is why the backend refuses some changes just now, in words, such as a disk that is nearly full.
	// Empty while all is well.
	Trouble string
}
