package memory

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// judge tells whether a grant is live at now: nil, ErrNotFound past its Expires, ErrSessionEnded where its session does not let it live,
// ErrConsumed when it was used. Every read and every write of a grant asks it, so that no token outlives its session unnoticed.
func (t *tx) judge(kind grantstore.Type, g *records.Grant, now time.Time) error {
	if expired(g, now) {
		return fmt.Errorf("grant has expired: %w", grantstore.ErrNotFound)
	}
	// A consent may say in which session it was given; it is the subject's all the same.
	if g.GetSessionId() != "" && kind.IsToken() {
		session := t.session(g.GetSessionId())
		switch {
		case session != nil && !live(session, now), !t.allowed(kind, g, session):
			return grantstore.ErrSessionEnded
		}
	}
	if g.GetConsumed() != 0 {
		return grantstore.ErrConsumed
	}
	return nil
}

func expired(g *records.Grant, now time.Time) bool {
	return g.GetExpires() != 0 && !now.Before(records.Moment(g.GetExpires()))
}

// allowed tells whether a session (nil: what its ended record has left of it) lets a grant live, whatever the time.
func (t *tx) allowed(kind grantstore.Type, g *records.Grant, session *records.Session) bool {
	if session != nil {
		// A grant under a lower number was revoked while its session stayed.
		use := t.use(g.GetSessionId(), g.GetClientId())
		return use != nil && g.GetTokenNumber() >= use.GetTokenNumber()
	}
	client := endedClient(t.ended(g.GetSessionId()), g.GetClientId())
	switch {
	case client.GetSurvivors() == 0, g.GetTokenNumber() < client.GetTokenNumber():
		return false
	case kind.IsCode():
		// A used code is judged by its family: its reuse must still be noticed.
		return kind == grantstore.AuthorizationCode && g.GetConsumed() != 0
	case client.GetSurvivors() == records.Survivors_SURVIVORS_ALL:
		return true
	}
	return g.GetOutlives() || (kind == grantstore.RefreshToken && g.GetOffline())
}

// endedClient returns nil, which lets nothing live, where the client has no entry.
func endedClient(ended *records.Ended, client string) *records.EndedClient {
	for _, c := range ended.GetClients() {
		if c.GetClientId() == client {
			return c
		}
	}
	return nil
}

// storedGrant is a grant and its row's key.
type storedGrant struct {
	*records.Grant
	key string
}

func (g storedGrant) kind() grantstore.Type {
	ref, _ := records.RefOf(g.key)
	return ref.Type
}

// grantsWhere returns the grants that match, in the order of their keys, to look at.
func (t *tx) grantsWhere(match func(kind grantstore.Type, g *records.Grant) bool) (found []storedGrant) {
	scan(t, transfer.Grants, func(key string, g *records.Grant) {
		if s := (storedGrant{g, key}); match(s.kind(), g) {
			found = append(found, s)
		}
	})
	slices.SortFunc(found, func(a, b storedGrant) int { return strings.Compare(a.key, b.key) })
	return found
}

// family returns the unused tokens of a request id.
func (t *tx) family(requestID string) []storedGrant {
	if requestID == "" {
		return nil
	}
	return t.grantsWhere(func(kind grantstore.Type, g *records.Grant) bool {
		return kind.IsToken() && g.GetRequestId() == requestID && g.GetConsumed() == 0
	})
}
