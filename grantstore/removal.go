package grantstore

// Removals of grants by a filter, in bounded steps.

import (
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// MaxRemovalCursor bounds Removal.After in bytes.
const MaxRemovalCursor = 4 << 10

// Removal asks to remove grants.
type Removal struct {
	// OperationID makes the call idempotent, as in a Batch. Required; each call of a walk needs its own.
	OperationID string
	// Filter selects grants. At least one condition is required.
	Filter Filter
	// Limit bounds the grants that one call removes: 1 to ticketstore.MaxCount.
	Limit int
	// After continues a walk in the order of creation: it is RemovalResult.Next of the previous call.
	After []byte
	// AsOf is when a walk of several calls began: grants created later are left, because new ones could keep
	// the walk from ending. A grant that descends by use from an older one, such as a refreshed token, counts
	// as old as that one. Zero leaves none.
	AsOf time.Time
}

// Takes reports whether the removal applies to a grant with the given creation time. began is the creation
// time of the first grant that it descends from by use, or zero.
func (r *Removal) Takes(created, began time.Time) bool {
	if began.IsZero() {
		began = created
	}
	return r.AsOf.IsZero() || !began.After(r.AsOf)
}

// RemovalResult is the answer to a Removal.
type RemovalResult struct {
	// Met counts the grants that the call met: those it removed, including dead ones, and those that were
	// consumed concurrently. A walk that meets none is the last one.
	Met int
	// GrantsRevoked and ConsentsRevoked count the tokens (Type.IsToken) and consents that were live until
	// now.
	GrantsRevoked   int
	ConsentsRevoked int
	// Next is where the next call continues. Empty at the end of the walk.
	Next []byte
}

// Validate returns an error that names the field at fault if a store must not carry out the removal.
func (r *Removal) Validate() error {
	if err := ticketstore.CheckID("operation_id", r.OperationID); err != nil {
		return err
	}
	switch {
	case r.Filter == Filter{}:
		return ticketstore.Invalidf("subject_id",
			"is missing, and so are session_id, client_id and type: name at least one")
	case r.Limit <= 0 || r.Limit > ticketstore.MaxCount:
		return ticketstore.Invalidf("limit", "is outside 1 to %d", ticketstore.MaxCount)
	case len(r.After) > MaxRemovalCursor:
		return ticketstore.Invalidf("after", "is longer than %d bytes", MaxRemovalCursor)
	}
	return r.Filter.Validate()
}
