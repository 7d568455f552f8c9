package ticketstore

// The filter of session queries (rule 5).

import (
	"cmp"
	"strings"
	"time"
	"unicode"
)

// Listing implements Filter.
func (SessionFilter) Listing() string { return "sessions" }

// Validate implements Filter.
func (f SessionFilter) Validate() error {
	return cmp.Or(
		CheckText("subject_id", f.SubjectID, MaxID), CheckText("session_id", f.SessionID, MaxID),
		CheckText("client_id", f.ClientID, MaxID), CheckText("display_name", f.DisplayName, MaxText),
	)
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
