package ticketstore

import (
	"cmp"
)

// ListingSessions names the listing of sessions in results tokens.
const ListingSessions = "sessions"

// Walk checks the query and takes its results token apart. Its errors are *FieldError.
func (q SessionQuery) Walk() (*Walk[SessionFilter], error) {
	if err := q.Filter.Validate(); err != nil {
		return nil, err
	}
	request := PageRequest{Order: q.Order, Count: q.Count, ResultsToken: q.ResultsToken, Prior: q.Prior}
	return ResumeWalk(ListingSessions, request, q.Filter, keepSessionFilter)
}

// Validate refuses conditions that no session can meet by their form.
func (f *SessionFilter) Validate() error {
	for _, id := range []struct {
		field, value string
	}{{"subject_id", f.SubjectID}, {"session_id", f.SessionID}, {"client_id", f.ClientID}} {
		if err := CheckText(id.field, id.value, MaxID); err != nil {
			return err
		}
	}
	return CheckText("display_name", f.DisplayName, MaxText)
}

func keepSessionFilter(f *SessionFilter, kept SessionFilter) error {
	return cmp.Or(
		KeepSame(&f.SubjectID, kept.SubjectID),
		KeepSame(&f.SessionID, kept.SessionID),
		KeepSame(&f.ClientID, kept.ClientID),
		KeepSame(&f.DisplayName, kept.DisplayName),
		KeepSameTime(&f.CreatedFrom, kept.CreatedFrom),
		KeepSameTime(&f.CreatedBefore, kept.CreatedBefore),
		KeepSameTime(&f.ExpiresFrom, kept.ExpiresFrom),
		KeepSameTime(&f.ExpiresBefore, kept.ExpiresBefore),
	)
}
