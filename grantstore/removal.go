package grantstore

import (
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// MaxRemovalCursor bounds Removal.After in bytes.
const MaxRemovalCursor = 4 << 10

// Removal asks for grants to be removed.
type Removal struct {
	// OperationID makes repeating the call safe, as that of a Batch does. Required; each call that goes on
	// has one of its own.
	OperationID string
	// Filter selects grants. At least one condition is required.
	Filter Filter
	// Limit bounds the grants that one call removes: 1 to ticketstore.MaxCount.
	Limit int
	// After has the call go on behind a place in the order of creation: RemovalResult.Next of the call
	// before.
	After []byte
	// AsOf has the removal leave what was stored after that moment, as a walk takes many calls: grants
	// created behind it, unless they descend by use from one that is older, as a refreshed token does. Zero
	// leaves nothing.
	AsOf time.Time
}

// Takes reports whether the removal takes a grant that was created then. began is Created of the first grant
// that it descends from by use, zero where it descends from none.
func (r *Removal) Takes(created, began time.Time) bool {
	if began.IsZero() {
		began = created
	}
	return r.AsOf.IsZero() || !began.After(r.AsOf)
}

// RemovalResult is the answer to a Removal.
type RemovalResult struct {
	// Met counts the grants that the call came upon: those that it removed, dead ones among them, and those
	// that were used up before it could. A walk that meets none is the last one.
	Met int
	// GrantsRevoked and ConsentsRevoked count tokens (Type.IsToken) and consents that were live until then.
	GrantsRevoked   int
	ConsentsRevoked int
	// Next is where the next call goes on. Empty means that all have been looked at.
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
			"and session_id, client_id and type are all missing: name at least one")
	case r.Limit <= 0 || r.Limit > ticketstore.MaxCount:
		return ticketstore.Invalidf("limit", "is outside 1 to %d", ticketstore.MaxCount)
	case len(r.After) > MaxRemovalCursor:
		return ticketstore.Invalidf("after", "is longer than %d bytes", MaxRemovalCursor)
	}
	return r.Filter.Validate()
}
