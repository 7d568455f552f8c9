package grantstore

import (
	"context"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Store keeps grants. Implementations are safe for concurrent use and read no clock: every moment is passed
// in as now. Every method may return ticketstore.ErrUnavailable, and ticketstore.ErrInvalid for a request
// that is wrong in itself.
type Store interface {
	// Get returns a grant that is live at now, judged by its session in the same snapshot. A missing, expired
	// or revoked one is ticketstore.ErrNotFound. One whose session does not let it live is returned together
	// with ErrSessionEnded, a used code or refresh token, unless its session has ended and took it along,
	// together with ErrConsumed. For a code that is live, Related holds the openid_request and pkce_request
	// of its family.
	Get(ctx context.Context, ref Ref, now time.Time) (*GetResult, error)

	// Apply applies a batch in one transaction, durably before it returns. Of two concurrent batches that
	// consume the same grant exactly one succeeds. A batch that races the end of its session is applied
	// before it or not at all.
	Apply(ctx context.Context, batch *Batch, now time.Time) (*Result, error)

	// Query returns a page of grants that are live at now, without their Data, in the order of their
	// creation. Paging follows the rules of ticketstore.SessionQuery. Pushed requests and replay marks are
	// nobody's and not listed.
	Query(ctx context.Context, query Query, now time.Time) (*Page, error)

	// Remove removes grants that the filter selects, at most removal.Limit of them in one transaction,
	// durably before it returns. What is nobody's (see Query) is left, and so are used codes and refresh
	// tokens: their reuse must be noticed. An exchange or refresh that races it loses, or was first; what it
	// has stored then is met by this walk or, where the order of creation has it earlier, by the next one. So
	// repeat the walk until one meets nothing, with an AsOf, or what is stored meanwhile keeps it from coming
	// to an end. Nothing matched is no error.
	Remove(ctx context.Context, removal Removal, now time.Time) (*RemovalResult, error)

	// Purge deletes at most limit records that now is past: expired and consumed grants, and answers to
	// operations. Of a used grant whose grace is over it deletes what noticing its reuse does not need, and
	// counts it. It returns how many it counted: fewer than limit means that nothing is left to purge.
	// Concurrent purges do no harm.
	Purge(ctx context.Context, limit int, now time.Time) (int, error)
}

// GetResult is the answer of Get.
type GetResult struct {
	Grant   Grant
	Related []Grant
	// Session says how long the grant's session lives, where it has one that is live.
	Session *SessionTimes
}

// SessionTimes are the times of a session: see ticketstore.Session.
type SessionTimes struct {
	Renewed time.Time
	Expires time.Time
	EndsAt  time.Time
}

// Filter selects grants. Its conditions AND together; a zero field is no condition.
type Filter struct {
	SubjectID string
	SessionID string
	ClientID  string
	Type      Type
}

// Query asks for a page of grants. Its fields work as those of ticketstore.SessionQuery.
type Query struct {
	Filter       Filter
	Order        ticketstore.Order
	Count        int
	ResultsToken string
	Prior        bool
}

// Page is the answer to a Query. Totals are not counted: liveness depends on the moment.
type Page struct {
	Grants       []Grant
	ResultsToken string
	HasPrev      bool
	HasNext      bool
}
