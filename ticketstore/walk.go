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

// Matcher returns a predicate for the conditions on a session's own fields, which are all but ClientID.
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

// fold maps letters that differ only in case to the same letter (Unicode simple folding). All forms of i,
// dotted or dotless, map to one letter, because which of them match depends on the language. The lower case
// of İ may carry its dot as a separate combining character.
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
