package ticketstore

// Checks and filters of session queries (rule 5).

import (
	"cmp"
	"strings"
	"time"
	"unicode"
)

// ListingSessions names the listing of sessions in results tokens.
const ListingSessions = "sessions"

// Walk checks the query and decodes its results token. Its errors are *FieldError.
func (q SessionQuery) Walk() (*Walk[SessionFilter], error) {
	if err := q.Filter.Validate(); err != nil {
		return nil, err
	}
	request := PageRequest{Order: q.Order, Count: q.Count, ResultsToken: q.ResultsToken, Prior: q.Prior}
	return ResumeWalk(ListingSessions, request, q.Filter, keepSessionFilter)
}

// Validate refuses conditions whose form no session can have.
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

// Matcher returns a predicate for the conditions on a session's own fields: all but ClientID.
func (f SessionFilter) Matcher() func(s *Session) bool {
	name := fold(f.DisplayName)
	return func(s *Session) bool {
		return (f.SubjectID == "" || s.SubjectID == f.SubjectID) &&
			(f.SessionID == "" || s.SessionID == f.SessionID) &&
			within(s.Created, f.CreatedFrom, f.CreatedBefore) &&
			within(s.Expires, f.ExpiresFrom, f.ExpiresBefore) &&
			(name == "" || strings.Contains(fold(s.DisplayName), name))
	}
}

func within(t, from, before time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (before.IsZero() || t.Before(before))
}

// fold maps letters that differ in case alone to the same one (Unicode simple folding). All i are one letter,
// with a dot or without: which of them belong together depends on the language. The lower case of İ may have
// its dot apart.
func fold(text string) string {
	const dotlessSmall, dottedCapital, dotAbove = '\u0131', '\u0130', '\u0307'
	var last rune
	return strings.Map(func(r rune) rune {
		least := r
		switch {
		case r == dotlessSmall, r == dottedCapital:
			least = 'I'
		case r == dotAbove && last == 'I':
			return -1
		}
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		last = least
		return least
	}, text)
}

func keepSessionFilter(f *SessionFilter, kept SessionFilter) error {
	if kept.Validate() != nil {
		return malformedToken()
	}
	return cmp.Or(
		KeepSame(&f.SubjectID, kept.SubjectID),
		KeepSame(&f.SessionID, kept.SessionID),
		KeepSame(&f.ClientID, kept.ClientID),
		KeepSame(&f.DisplayName, kept.DisplayName),
		keepSameTime(&f.CreatedFrom, kept.CreatedFrom),
		keepSameTime(&f.CreatedBefore, kept.CreatedBefore),
		keepSameTime(&f.ExpiresFrom, kept.ExpiresFrom),
		keepSameTime(&f.ExpiresBefore, kept.ExpiresBefore),
	)
}
