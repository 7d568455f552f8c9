package grantstore

// Kills: invalidations of cached live access tokens by commits (rule 15).

import (
	"context"
	"iter"
	"math"
	"time"
)

// KillsService is the entry in ticketstore.Description.Services of a backend that streams kills.
const KillsService = "kills"

// Kill names the live access tokens that a commit has, or may have, ended or changed: cached copies of them
// must not be used any longer. A revoked family is listed token by token, because its size is bounded.
type Kill struct {
	// Position numbers the kills of a process from 1, in the order of their commits.
	Position uint64
	// All invalidates every access token.
	All bool
	// Sessions are sids: all access tokens of these sessions are invalid.
	Sessions []string
	// Grants are access tokens.
	Grants []Ref
}

// Kills is the stream of kills of a backend's commits, including those of its jobs, sweeps and purges. It is
// optional: a backend without it is never cached. Implementations are safe for concurrent use.
//
// Every change that the liveness of an access token depends on is a kill: a session ends, is renewed or gets
// a new cookie; a client's token number rises; survivors of an ended session are revoked; an access token is
// deleted.
type Kills interface {
	// Position returns the position of the last kill. Calls that begin later see the changes of all kills up
	// to it, and calls that have returned saw none of a later kill.
	Position() uint64

	// Follow yields the kills from now on. The first one marks the start: it has the position of the last
	// kill and names nothing. Each further kill follows when its commit is durable. The sequence ends with an
	// error: that of ctx, ticketstore.ErrUnavailable when the backend closes, or a different one when the
	// caller has fallen too far behind. Callers must not modify the kills.
	Follow(ctx context.Context) iter.Seq2[*Kill, error]
}

// LeasesService is the entry in ticketstore.Description.Services of a backend whose Kills implement Leases.
const LeasesService = "leases"

// NoCopies declares, passed as a position, that there are no copies and will be none.
const NoCopies = math.MaxUint64

// Leases extends Kills for a backend that several hosts share, where other hosts' commits kill and are
// acknowledged to other hosts. It is optional: a shared backend without it is never cached. Each process of a
// backend serves one host, and leases cover that host's copies.
type Leases interface {
	// Lease acknowledges that all copies have processed the kills up to position. It returns how long the
	// copies may be used, by the caller's clock and counted from before the call, once the caller has
	// processed the kills up to the Position that follows the call. Until the lease expires, no host
	// acknowledges an ending whose kill was not acknowledged through Lease. It returns
	// ticketstore.ErrUnavailable if no lease is granted: the copies must not be used, and the caller may
	// retry at once. With NoCopies it returns at once, and the result is meaningless.
	Lease(ctx context.Context, position uint64) (time.Duration, error)
}
