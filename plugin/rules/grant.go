package rules

// Rule 2: which grants are live; what a batch stores and a removal deletes.

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Standing holds the rows that judge a grant, read in one snapshot.
type Standing struct {
	// Session is the grant's session, nil if it has ended.
	Session *records.Session
	// Use is the row of the grant's client in that session, nil if there is none.
	Use *records.ClientUse
	// Ended is the record that replaced the session. If both are nil, the grant is dead.
	Ended *records.Ended
}

// Bound reports whether a grant is judged by its session. A consent may name the session in which it was
// given but belongs to the subject in any case.
func Bound(t grantstore.Type, g *records.Grant) bool { return g.GetSessionId() != "" && t.IsToken() }

// Expired reports whether now is past a grant's Expires.
func Expired(g *records.Grant, now time.Time) bool {
	return g.GetExpires() != 0 && !now.Before(records.Moment(g.GetExpires()))
}

// Judge decides whether a grant is live at now (rule 2). It returns ErrNotFound past the grant's Expires,
// ErrSessionEnded if its session does not let it live, and ErrConsumed if it was used. The standing is used
// only for grants that are Bound and not Expired.
func Judge(t grantstore.Type, g *records.Grant, standing *Standing, now time.Time) error {
	if Expired(g, now) {
		return fmt.Errorf("grant has expired: %w", ticketstore.ErrNotFound)
	}
	if Bound(t, g) {
		if s := standing.Session; s != nil && !Live(s, now) {
			return grantstore.ErrSessionEnded
		}
		if !allowed(t, g, standing) {
			return fmt.Errorf("grant was revoked: %w", grantstore.ErrSessionEnded)
		}
	}
	if g.GetConsumed() != 0 {
		return grantstore.ErrConsumed
	}
	return nil
}

// Dead reports whether a verdict means that a grant is dead, as opposed to a failure to judge it.
func Dead(verdict error) bool {
	return errors.Is(verdict, ticketstore.ErrNotFound) || errors.Is(verdict, grantstore.ErrSessionEnded) ||
		errors.Is(verdict, grantstore.ErrConsumed)
}

// allowed reports whether the session or the ended record lets a grant live, regardless of time.
func allowed(t grantstore.Type, g *records.Grant, standing *Standing) bool {
	if standing.Session != nil {
		// A grant with a lower number was revoked while its session was kept (rule 1).
		return standing.Use != nil && g.GetTokenNumber() >= standing.Use.GetTokenNumber()
	}
	left := LeftOf(standing.Ended, g.GetClientId())
	switch {
	case g.GetTokenNumber() < left.GetTokenNumber():
		return false
	case left.GetSurvivors() != records.Survivors_SURVIVORS_OFFLINE &&
		left.GetSurvivors() != records.Survivors_SURVIVORS_ALL:
		return false
	case t.IsCode():
		// A used code is judged by its family: its reuse must still be detected.
		return t == grantstore.AuthorizationCode && g.GetConsumed() != 0
	case left.GetSurvivors() == records.Survivors_SURVIVORS_ALL:
		return true
	}
	return g.GetOutlives() || (t == grantstore.RefreshToken && g.GetOffline())
}

// LeftOf returns an ended session's entry of a client, or nil if there is none: then none of the client's
// grants live.
func LeftOf(ended *records.Ended, client string) *records.EndedClient {
	for _, c := range ended.GetClients() {
		if c.GetClientId() == client {
			return c
		}
	}
	return nil
}

// Unchanged decides whether a grant (nil: there is none) with that verdict is unchanged since the caller of a
// batch read it. It returns ErrConflict if not.
func Unchanged(seen *grantstore.Precondition, g *records.Grant, verdict error) error {
	if g == nil || ticketstore.KeyOf(string(g.GetData())) != seen.Data || Dead(verdict) {
		return fmt.Errorf("%s: %w", seen.Type, ticketstore.ErrConflict)
	}
	return verdict
}

// Issue returns the record of a grant that a batch stores. It has the subject, session, client and family of
// the grant that the batch consumes (nil: none). access is the access token that is deleted when a refresh
// token of the batch is used, zero for none.
func Issue(given *grantstore.Grant, access grantstore.Ref, consumed *records.Grant) *records.Grant {
	g := records.FromGrant(given)
	if c := consumed; c != nil {
		g.RequestId, g.SubjectId, g.SessionId, g.ClientId = c.RequestId, c.SubjectId, c.SessionId, c.ClientId
		g.Offline, g.Began = c.Offline, cmp.Or(c.Began, c.Created)
	}
	if given.Type == grantstore.RefreshToken && access.Type != "" {
		g.Access = records.RefBytes(access)
	}
	return g
}

// IssuedAsGiven reports whether Issue takes nothing from the consumed grant (nil: none) that differs from the
// given one.
func IssuedAsGiven(given *grantstore.Grant, consumed *records.Grant) bool {
	c := consumed
	return c == nil || given.RequestID == c.GetRequestId() && given.SubjectID == c.GetSubjectId() &&
		given.SessionID == c.GetSessionId() && given.ClientID == c.GetClientId() &&
		given.Offline == c.GetOffline()
}

// Outlives reports whether grants issued for the grant that a batch consumes (nil: none) outlive its session
// (nil: it has ended). The consumed grant was judged before, so an ended record lets it live.
func Outlives(consumed *records.Grant, session *records.Session) bool {
	return session == nil && consumed.GetSessionId() != ""
}

// Outlive binds a grant to the ended record of its session, because it is issued for a grant that outlives
// the session.
func Outlive(g *records.Grant, ended *records.Ended) {
	g.TokenNumber, g.Outlives = LeftOf(ended, g.GetClientId()).GetTokenNumber(), true
}

// Vacant decides whether a grant may be stored under a key held by old (nil: none): only an expired grant is
// replaced.
func Vacant(t grantstore.Type, old *records.Grant, now time.Time) error {
	if old != nil && !Expired(old, now) {
		return fmt.Errorf("%s: %w", t, ticketstore.ErrExists)
	}
	return nil
}

// Listed reports whether a grant appears in listings: replay marks and pushed requests have no owner, and a
// used grant is over.
func Listed(t grantstore.Type, g *records.Grant) bool {
	return t != grantstore.JTI && t != grantstore.PushedAuthorization && g.GetConsumed() == 0
}

// Selected reports whether a filter selects a grant.
func Selected(f *grantstore.Filter, t grantstore.Type, g *records.Grant) bool {
	return Listed(t, g) && (f.SubjectID == "" || g.GetSubjectId() == f.SubjectID) &&
		(f.SessionID == "" || g.GetSessionId() == f.SessionID) &&
		(f.ClientID == "" || g.GetClientId() == f.ClientID) && (f.Type == "" || t == f.Type)
}

// Removes reports whether a removal deletes a grant, live or not: an expired session that has not ended may
// still slide, which would revive its grants. A used grant is kept so that its reuse is detected.
func Removes(removal *grantstore.Removal, t grantstore.Type, g *records.Grant) bool {
	return Selected(&removal.Filter, t, g) &&
		removal.Takes(records.Moment(g.GetCreated()), records.Moment(g.GetBegan()))
}

// Counts returns what the removal of a grant with that verdict adds to the counts: 1 if it was live, as a
// token or as a consent.
func Counts(t grantstore.Type, verdict error) (grants, consents int) {
	switch {
	case verdict != nil:
		return 0, 0
	case t == grantstore.UserConsent:
		return 0, 1
	}
	return 1, 0
}
