package grantstore

// Checks of grant queries (rule 5).

import (
	"cmp"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// ListingGrants names the listing of grants in results tokens.
const ListingGrants = "grants"

// Walk checks the query and decodes its results token. Its errors are *ticketstore.FieldError.
func (q Query) Walk() (*ticketstore.Walk[Filter], error) {
	if err := q.Filter.Validate(); err != nil {
		return nil, err
	}
	request := ticketstore.PageRequest{
		Order: q.Order, Count: q.Count, ResultsToken: q.ResultsToken, Prior: q.Prior,
	}
	return ticketstore.ResumeWalk(ListingGrants, request, q.Filter, keepFilter)
}

// Validate refuses conditions whose form no grant can have.
func (f *Filter) Validate() error {
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

func keepFilter(f *Filter, kept Filter) error {
	if kept.Validate() != nil {
		return ticketstore.Invalidf(ticketstore.FieldResultsToken, "is malformed")
	}
	return cmp.Or(
		ticketstore.KeepSame(&f.SubjectID, kept.SubjectID),
		ticketstore.KeepSame(&f.SessionID, kept.SessionID),
		ticketstore.KeepSame(&f.ClientID, kept.ClientID),
		ticketstore.KeepSame(&f.Type, kept.Type),
	)
}
