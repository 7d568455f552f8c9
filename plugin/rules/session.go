package rules

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// Due is when a session is over: its Expires or, if earlier, its EndsAt.
func Due(s *records.Session) time.Time { return records.Moment(capped(s, s.GetExpires())) }

// Live reports whether there is a session and it is not over at now.
func Live(s *records.Session, now time.Time) bool { return s != nil && now.Before(Due(s)) }

// Renewed is the Expires of a session that is renewed to live until then: it never passes EndsAt (rule 9).
func Renewed(s *records.Session, until time.Time) int64 { return capped(s, records.Nanos(until)) }

func capped(s *records.Session, moment int64) int64 {
	if end := s.GetEndsAt(); end != 0 {
		return min(moment, end)
	}
	return moment
}

// Slide has a session (nil: it has ended) live longer that is live, was not renewed lately, and would live longer. It reports whether it did.
func Slide(s *records.Session, slide *grantstore.Slide, now time.Time) bool {
	if !Live(s, now) || records.Moment(s.GetRenewed()).After(slide.RenewedBefore) || Renewed(s, slide.Expires) <= s.GetExpires() {
		return false
	}
	s.Expires, s.Renewed = Renewed(s, slide.Expires), records.Nanos(now)
	s.Version++
	return true
}
