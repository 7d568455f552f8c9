package grantstore

// Kills: what a commit has ended, for who keeps copies of live access tokens (rule 15).

import (
	"context"
	"iter"
	"math"
	"time"
)

// KillsService is what a backend that streams kills names among its services
// (ticketstore.Description.Services).
const KillsService = "kills"

// Kill names what a commit has, or may have, ended or changed of live access tokens: a copy of what it names
// is not to be used any more. A family that is revoked is named token by token, for its size is bounded.
type Kill struct {
	// Position numbers the kills of a process: 1, 2, 3, and so on, in the order of their commits.
	Position uint64
	// All: every access token.
	All bool
	// Sessions are sids: every access token of these sessions.
	Sessions []string
	// Grants are access tokens.
	Grants []Ref
}

// Kills is what a backend says of its commits that kill, those of its jobs, sweeps and purges among them. It
// is optional: a backend without it is never cached. It is safe for concurrent use.
//
// Every change of what a live access token is judged by is a kill: a session ends, slides or gets a new
// cookie; a client's token number rises; survivors of an ended session are revoked; an access token is
// deleted.
type Kills interface {
	// Position returns the position of the last kill. What that kill and those before it have changed is seen
	// by every call that begins later, and a call that has ended saw no later kill.
	Position() uint64

	// Follow yields the kills from now on. The first says where it begins: it has the position of the last
	// kill and names nothing. The others follow one by one, each when its commit is durable. The sequence
	// ends with an error: that of ctx, ticketstore.ErrUnavailable when the backend closes, or another when
	// its caller has fallen too far behind. A caller must not change what it gets.
	Follow(ctx context.Context) iter.Seq2[*Kill, error]
}

// LeasesService is what a backend names among its services whose Kills are Leases.
const LeasesService = "leases"

// NoCopies says in the place of a position that there are no copies, and will be none.
const NoCopies = math.MaxUint64

// Leases are the Kills of a backend that several hosts share: the commits of others kill too, and are
// acknowledged to others. It is optional: a shared backend without it is never cached. A process of a
// backend has one host, whose copies it is about.
type Leases interface {
	// Lease says that all copies have taken note of the kills up to a position. It returns for how long
	// copies may be used, from before the call on, by the clock of its caller, once the caller has taken note
	// of the kills up to the Position after the call. Until that is over, no end is acknowledged anywhere of
	// which a call of Lease did not say that the copies have taken note. Without a lease it is
	// ticketstore.ErrUnavailable: copies are not to be used, and another call may follow at once. With
	// NoCopies it returns at once, and what it returns is of no use.
	Lease(ctx context.Context, position uint64) (time.Duration, error)
}
