package grantstore

// The filter of grant queries (rule 5).

import (
	"cmp"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Filter selects grants. Its conditions AND together; a zero field is no condition.
type Filter struct {
	SubjectID string
	SessionID string
	ClientID  string
	Type      Type
}

// Query asks for a page of grants.
type Query = ticketstore.Query[Filter]

// Listing implements ticketstore.Filter.
func (Filter) Listing() string { return "grants" }

// Validate implements ticketstore.Filter.
func (f Filter) Validate() error {
	if f.Type != "" {
		if err := (Ref{Type: f.Type, Key: ticketstore.Key{1}}).Validate(); err != nil {
			return err
		}
	}
	return cmp.Or(
		ticketstore.CheckText("subject_id", f.SubjectID, ticketstore.MaxID),
		ticketstore.CheckText("session_id", f.SessionID, ticketstore.MaxID),
		ticketstore.CheckText("client_id", f.ClientID, ticketstore.MaxID),
	)
}
