package grantstore

// The Store interface, and queries of grants.

import (
	"context"
	"time"
)

// Store stores grants. Implementations are safe for concurrent use and read no clock: the current time is
// passed in as now. Every method may return ticketstore.ErrUnavailable, and ticketstore.ErrInvalid for a
// request that is itself invalid.
type Store interface {
	// Get returns a grant that is live at now, judged by its session in the same snapshot. It returns
	// ticketstore.ErrNotFound if the grant is missing, expired or revoked. It returns the grant together with
	// ErrSessionEnded if its session does not let it live, and together with ErrConsumed if it is a used code
	// or refresh token, unless its session has ended and did not let it survive (ErrSessionEnded). For a live
	// code, Related holds the openid_request and pkce_request of its family. The result may be shared and
	// must not be modified.
	Get(ctx context.Context, ref Ref, now time.Time) (*GetResult, error)

	// Apply applies a batch in one transaction, durably before it returns. Of two concurrent batches that
	// consume the same grant exactly one succeeds. A batch that races the end of its session is applied
	// before it or not at all.
	Apply(ctx context.Context, batch *Batch, now time.Time) (*Result, error)

	// Query returns a page of grants that are live at now, without their Data, ordered by creation. Paging
	// follows the rules of ticketstore.SessionQuery. Pushed requests and replay marks (jti) belong to no
	// subject and are not listed.
	Query(ctx context.Context, query Query, now time.Time) (*Page, error)

	// Remove removes grants that the filter selects, at most removal.Limit of them in one transaction,
	// durably before it returns. It is one step of a walk in the order of creation: pass Next of the result
	// as After of the next call until it is empty. Matching nothing is not an error.
	//
	// Pushed requests and replay marks, which belong to no subject, are left, and so are used codes and
	// refresh tokens, which are kept to detect their reuse (rule 3).
	//
	// A client may exchange or refresh a token while the walk is under way. If the removal is first, the
	// token is gone and the client fails. If the client is first, its new tokens replace the removed one, and
	// their position may be one that the walk has already passed: only another walk meets them. So repeat
	// whole walks, all with the same AsOf, until one has Met nothing. Without AsOf, grants stored meanwhile
	// could keep the walks from ending; with it they are left, except those that descend by use from an older
	// grant.
	Remove(ctx context.Context, removal Removal, now time.Time) (*RemovalResult, error)

	// Purge deletes at most limit records that are due at now: expired grants, consumed grants and answers to
	// operations. Of a used grant past its grace period it deletes what detecting its reuse does not need. It
	// returns how many records it deleted or reduced: fewer than limit means that nothing is left to purge.
	// Concurrent purges are safe.
	Purge(ctx context.Context, limit int, now time.Time) (int, error)
}

// GetResult is the answer to Get.
type GetResult struct {
	Grant   Grant
	Related []Grant
	// Session holds the times of the grant's session, if it has one that is live.
	Session *SessionTimes
	// Memo is set if the result is shared with other readers of the same grant: nothing in it may be
	// modified.
	Memo *Memo
}

// SessionTimes are the times of a session: see ticketstore.Session.
type SessionTimes struct {
	Renewed time.Time
	Expires time.Time
	EndsAt  time.Time
}

// Page is the answer to a Query. It has no totals, because liveness depends on the time of the query.
type Page struct {
	Grants       []Grant
	ResultsToken string
	HasPrev      bool
	HasNext      bool
}
