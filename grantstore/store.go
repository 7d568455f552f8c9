package grantstore

// The Store interface, and queries of grants.

import (
	"context"
	"time"
)

// Store keeps grants. Implementations are safe for concurrent use and read no clock: every moment is passed
// in as now. Every method may return ticketstore.ErrUnavailable, and ticketstore.ErrInvalid for a request
// that is wrong in itself.
type Store interface {
	// Get returns a grant that is live at now, judged by its session in the same snapshot. A missing, expired
	// or revoked one is ticketstore.ErrNotFound. One whose session does not let it live is returned together
	// with ErrSessionEnded. A used code or refresh token is returned together with ErrConsumed, or with
	// ErrSessionEnded if its session has ended and did not let it survive. For a code that is live, Related
	// holds the openid_request and pkce_request of its family. The result may be shared: it must not be
	// changed.
	Get(ctx context.Context, ref Ref, now time.Time) (*GetResult, error)

	// Apply applies a batch in one transaction, durably before it returns. Of two concurrent batches that
	// consume the same grant exactly one succeeds. A batch that races the end of its session is applied
	// before it or not at all.
	Apply(ctx context.Context, batch *Batch, now time.Time) (*Result, error)

	// Query returns a page of grants that are live at now, without their Data, in the order of their
	// creation. Paging follows the rules of ticketstore.SessionQuery. Pushed requests and replay marks belong
	// to no subject and are not listed.
	Query(ctx context.Context, query Query, now time.Time) (*Page, error)

	// Remove removes grants that the filter selects, at most removal.Limit of them in one transaction,
	// durably before it returns. It is one step of a walk in the order of creation: Next of its result is
	// After of the next call, until it is empty. Nothing matched is no error.
	//
	// It leaves pushed requests and replay marks, which belong to no subject, and used codes and refresh
	// tokens, which detect their own reuse (rule 3).
	//
	// A client may exchange or refresh a token while the walk is under way. If the removal is first, the
	// token is gone and the client fails. If the client is first, its new tokens take the place of the
	// removed one, and their position may lie before that of the walk: then only another walk meets them. So
	// repeat whole walks until one has Met nothing, all with the same AsOf. Without AsOf, grants stored
	// meanwhile could keep the walks from ending; with it they are left, except those that descend by use
	// from an older grant.
	Remove(ctx context.Context, removal Removal, now time.Time) (*RemovalResult, error)

	// Purge deletes at most limit records whose time is up at now: expired grants, consumed grants and
	// answers to operations. Of a used grant whose grace is over it deletes what detecting its reuse does not
	// need. It returns how many it deleted or reduced: fewer than limit means that nothing is left to purge.
	// Concurrent purges are safe.
	Purge(ctx context.Context, limit int, now time.Time) (int, error)
}

// GetResult is the answer to Get.
type GetResult struct {
	Grant   Grant
	Related []Grant
	// Session says how long the grant's session lives, where it has one that is live.
	Session *SessionTimes
	// Memo is set where the result is shared with others that read the same grant: nothing in it may be
	// changed.
	Memo *Memo
}

// SessionTimes are the times of a session: see ticketstore.Session.
type SessionTimes struct {
	Renewed time.Time
	Expires time.Time
	EndsAt  time.Time
}

// Page is the answer to a Query. Totals are not counted: liveness depends on the moment.
type Page struct {
	Grants       []Grant
	ResultsToken string
	HasPrev      bool
	HasNext      bool
}
