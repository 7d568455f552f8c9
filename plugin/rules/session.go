package rules

// Rules 8 to 10: liveness, creation, limits, renewal, sliding, rows of clients. Rule 13: properties.

import (
	"bytes"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Due returns when a session is over: at its Expires or its EndsAt, whichever is earlier.
func Due(s *records.Session) time.Time { return records.Moment(capped(s, s.GetExpires())) }

// Live reports whether s is not nil and not over at now.
func Live(s *records.Session, now time.Time) bool { return s != nil && now.Before(Due(s)) }

// capped returns a moment capped to a session's EndsAt (rule 9).
func capped(s *records.Session, moment int64) int64 {
	if end := s.GetEndsAt(); end != 0 {
		return min(moment, end)
	}
	return moment
}

// Create decides whether a session may be created. sidOfKey is the session found under its key (empty: none);
// taken is whether its sid is that of a session or of an ended record. again is true if this very session was
// created before and the answer was lost.
func Create(s *ticketstore.Session, sidOfKey string, taken bool) (again bool, err error) {
	switch {
	case sidOfKey == s.SessionID:
		return true, nil
	case taken:
		return false, fmt.Errorf("session id: %w", ticketstore.ErrExists)
	case sidOfKey != "":
		return false, fmt.Errorf("session key: %w", ticketstore.ErrExists)
	}
	return false, nil
}

// NewSession returns the record of a new session.
func NewSession(s *ticketstore.Session) *records.Session {
	record := records.FromSession(s)
	record.Version = 1
	return record
}

// Excess returns how many of a subject's live sessions must end, oldest first, to make room for one more
// within the limit.
func Excess(live int, limit *ticketstore.Limit) (int, error) {
	excess := max(live-limit.Max+1, 0)
	if excess > 0 && !limit.EndOldest {
		return 0, ticketstore.ErrTooManySessions
	}
	return excess, nil
}

// Renew extends a session that is live and unchanged since it was read.
func Renew(s *records.Session, renewal *ticketstore.Renewal, now time.Time) error {
	if err := unchanged(s, renewal.Version, now); err != nil {
		return err
	}
	s.Expires = max(s.Expires, capped(s, records.Nanos(renewal.Expires)))
	s.Renewed = records.Nanos(now)
	s.Version++
	return nil
}

// Rekey returns a session, live and unchanged since it was read, after a new sign-in of its subject. taken is
// whether a session has the new key.
func Rekey(
	s *records.Session, rekey *ticketstore.Rekey, taken bool, now time.Time,
) (*records.Session, error) {
	if err := unchanged(s, rekey.Version, now); err != nil {
		return nil, err
	}
	next := rekey.Apply(records.SessionOf(s), now)
	if err := next.Validate(); err != nil {
		return nil, err
	}
	if taken && rekey.NewKey != rekey.Key {
		return nil, fmt.Errorf("new session key: %w", ticketstore.ErrExists)
	}
	record := records.FromSession(next)
	record.IndexedDue = s.GetIndexedDue()
	return record, nil
}

func unchanged(s *records.Session, version uint64, now time.Time) error {
	switch {
	case !Live(s, now):
		return ticketstore.ErrExpired
	case s.GetVersion() != version:
		return fmt.Errorf("session: %w", ticketstore.ErrConflict)
	}
	return nil
}

// Slide returns a session (nil: it has ended) with a later Expires and the time of its renewal (rule 9). It
// returns nil if the session is not live, was renewed recently, or would not expire later.
func Slide(s *records.Session, slide *grantstore.Slide, now time.Time) *records.Session {
	until := capped(s, records.Nanos(slide.Expires))
	if !Live(s, now) || records.Moment(s.GetRenewed()).After(slide.RenewedBefore) || until <= s.GetExpires() {
		return nil
	}
	s = proto.CloneOf(s)
	s.Expires, s.Renewed = until, records.Nanos(now)
	s.Version++
	return s
}

// Attach returns the row of a client in a session (nil: it has ended) after the client used the session at
// now. use is the previous row, nil for none; others is then the number of the session's other clients. A
// detached client is attached again.
func Attach(
	s *records.Session, use *records.ClientUse, others int, now time.Time,
) (*records.ClientUse, error) {
	switch {
	case !Live(s, now):
		return nil, grantstore.ErrSessionEnded
	case use == nil && others >= ticketstore.MaxClients:
		return nil, ticketstore.ErrTooManyClients
	case use == nil:
		use = &records.ClientUse{FirstUsed: records.Nanos(now)}
	}
	use.Detached = false
	use.LastUsed = max(use.LastUsed, records.Nanos(now))
	return use, nil
}

// Registered stores in a client's row its registration for notifications.
func Registered(use *records.ClientUse, u *grantstore.Use) {
	use.Notify, use.Coordinated, use.Muted = u.Notify, u.Coordinated, uint32(u.Muted)
}

// SetProperty decides whether a property with value now is set to value (empty: deleted) for a host that
// expects old. others is the number of other properties in the store.
func SetProperty(now, old, value []byte, others int) (change bool, err error) {
	switch {
	case bytes.Equal(now, value):
		return false, nil // a retry: the answer was lost
	case !bytes.Equal(now, old):
		return false, ticketstore.ErrConflict
	case len(now) == 0 && others >= ticketstore.MaxProperties:
		return false, ticketstore.TooManyProperties()
	}
	return true, nil
}
