package grantstore

// Removals of grants by a filter, in walks.

import (
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// MaxRemovalCursor bounds Removal.After in bytes.
const MaxRemovalCursor = 4 << 10

// Removal asks for grants to be removed.
type Removal struct {
	// OperationID makes repeating the call safe, as that of a Batch does. Required; each call of a walk has
	// one of its own.
	OperationID string
	// Filter selects grants. At least one condition is required.
	Filter Filter
	// Limit bounds the grants that one call removes: 1 to ticketstore.MaxCount.
	Limit int
	// After continues a walk after a position in the order of creation: RemovalResult.Next of the call
	// before.
	After []byte
	// AsOf is when a walk of several calls began: grants created later are left, or new ones could keep the
	// walk from ending. A grant that descends by use from an older one counts as that old, as a refreshed
	// token does. Zero leaves none.
	AsOf time.Time
}

// Takes reports whether the removal applies to a grant that was created then. began is Created of the first
// grant that it descends from by use, zero where it descends from none.
func (r *Removal) Takes(created, began time.Time) bool {
	if began.IsZero() {
		began = created
	}
	return r.AsOf.IsZero() || !began.After(r.AsOf)
}

// RemovalResult is the answer to a Removal.
type RemovalResult struct {
	// Met counts the grants that the call found: those that it removed, dead ones included, and those that
	// were consumed first. A walk that meets none is the last one.
	Met int
	// GrantsRevoked and ConsentsRevoked count tokens (Type.IsToken) and consents that were live until then.
	GrantsRevoked   int
	ConsentsRevoked int
	// Next is where the next call continues. Empty means that the walk is at its end.
	Next []byte
}

// Validate refuses a removal that a store must not carry out, naming the field at fault.
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
