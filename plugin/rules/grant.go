package rules

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Standing is what a grant's session says of it, read in one snapshot.
type Standing struct {
	// Session is nil where it has ended.
	Session *records.Session
	// Use is the row of the grant's client in that session, nil where it has none.
	Use *records.ClientUse
	// Ended is what has taken the place of a session that has ended; nil lets nothing live.
	Ended *records.Ended
}

// Bound reports whether a grant is judged by its session. A consent may say in which session it was given; it is the subject's in any case.
func Bound(t grantstore.Type, g *records.Grant) bool { return g.GetSessionId() != "" && t.IsToken() }

// Expired reports whether now is past a grant's Expires.
func Expired(g *records.Grant, now time.Time) bool {
	return g.GetExpires() != 0 && !now.Before(records.Moment(g.GetExpires()))
}

// Judge decides whether a grant is live at now (rule 2): nil, ErrNotFound past its Expires, ErrSessionEnded where its session does not let it
// live, ErrConsumed when it was used. The standing counts for grants that are Bound and not Expired alone.
func Judge(t grantstore.Type, g *records.Grant, standing *Standing, now time.Time) error {
	if Expired(g, now) {
		return fmt.Errorf("grant has expired: %w", ticketstore.ErrNotFound)
	}
	if Bound(t, g) {
		if s := standing.Session; s != nil && !Live(s, now) {
			return grantstore.ErrSessionEnded
		}
		if !Allowed(t, g, standing) {
			return fmt.Errorf("grant was revoked: %w", grantstore.ErrSessionEnded)
		}
	}
	if g.GetConsumed() != 0 {
		return grantstore.ErrConsumed
	}
	return nil
}

// Dead reports whether a verdict says that a grant is dead, and not that nobody can tell.
func Dead(verdict error) bool {
	return errors.Is(verdict, ticketstore.ErrNotFound) || errors.Is(verdict, grantstore.ErrSessionEnded) || errors.Is(verdict, grantstore.ErrConsumed)
}

// Allowed reports whether its session, or what the ended record has left of it, lets a grant live, whatever the time.
func Allowed(t grantstore.Type, g *records.Grant, standing *Standing) bool {
	if standing.Session != nil {
		// A grant under a lower number was revoked while its session stayed (rule 1).
		return standing.Use != nil && g.GetTokenNumber() >= standing.Use.GetTokenNumber()
	}
	left := LeftOf(standing.Ended, g.GetClientId())
	switch {
	case g.GetTokenNumber() < left.GetTokenNumber():
		return false
	case left.GetSurvivors() != records.Survivors_SURVIVORS_OFFLINE && left.GetSurvivors() != records.Survivors_SURVIVORS_ALL:
		return false
	case t.IsCode():
		// A used code is judged by its family: its reuse must still be noticed.
		return t == grantstore.AuthorizationCode && g.GetConsumed() != 0
	case left.GetSurvivors() == records.Survivors_SURVIVORS_ALL:
		return true
	}
	return g.GetOutlives() || (t == grantstore.RefreshToken && g.GetOffline())
}

// LeftOf returns what an ended session has left of a client: nil, which lets nothing live, where it has no entry.
func LeftOf(ended *records.Ended, client string) *records.EndedClient {
	for _, c := range ended.GetClients() {
		if c.GetClientId() == client {
			return c
		}
	}
	return nil
}

// Grace is for how long a consumption lets a grant be used again: never a code.
func Grace(c *grantstore.Consumption) time.Duration {
	if c.Type != grantstore.RefreshToken {
		return 0
	}
	return c.Grace
}

// UsedAgain reports whether a used grant may be used again at now: within the grace of its use and within that of the next one, whichever is
// shorter (rule 3).
func UsedAgain(g *records.Grant, grace time.Duration, now time.Time) bool {
	if g.GetUsed() != 0 {
		grace = min(grace, time.Duration(min(g.GetUsed()-1, math.MaxInt64)))
	}
	return grace > 0 && !now.After(records.Moment(g.GetConsumed()).Add(grace))
}
