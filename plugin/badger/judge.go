package badger

import (
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// judge decides whether a grant is live at now. Every read and every write of a grant asks it, in its own snapshot, so that no token
// outlives its session between two transactions. It returns nil, ErrNotFound for a grant past its Expires, ErrSessionEnded for one that
// its session does not let live, or ErrConsumed for a used one.
func judge(r reader, t grantstore.Type, g *records.Grant, now time.Time) error {
	if expires := g.GetExpires(); expires != 0 && !now.Before(records.Moment(expires)) {
		return fmt.Errorf("grant has expired: %w", grantstore.ErrNotFound)
	}
	// A consent may say in which session it was given; it is the subject's all the same.
	if g.GetSessionId() != "" && t.IsToken() {
		if err := judgeBySession(r, t, g, now); err != nil {
			return err
		}
	}
	if g.GetConsumed() != 0 {
		return grantstore.ErrConsumed
	}
	return nil
}

// isDeath tells whether a verdict says that a grant is dead, and not that nobody can tell.
func isDeath(verdict error) bool {
	return errors.Is(verdict, grantstore.ErrNotFound) || errors.Is(verdict, grantstore.ErrSessionEnded) || errors.Is(verdict, grantstore.ErrConsumed)
}

func judgeBySession(r reader, t grantstore.Type, g *records.Grant, now time.Time) error {
	session, err := loadSession(r, g.GetSessionId())
	if err != nil {
		return err
	}
	if session == nil {
		return judgeByEnded(r, t, g)
	}
	if !liveSession(session, now) {
		return grantstore.ErrSessionEnded
	}
	return judgeByNumber(r, g)
}

// judgeByNumber finds grants that were revoked while their session stayed.
func judgeByNumber(r reader, g *records.Grant) error {
	use, err := loadClientUse(r, g.GetSessionId(), g.GetClientId())
	if err != nil {
		return err
	}
	if use == nil || g.GetTokenNumber() < use.GetTokenNumber() {
		return fmt.Errorf("grant was revoked: %w", grantstore.ErrSessionEnded)
	}
	return nil
}

// judgeByEnded lets the grant live as far as the ended record of its session says.
func judgeByEnded(r reader, t grantstore.Type, g *records.Grant) error {
	ended, err := loadEnded(r, g.GetSessionId())
	if err != nil {
		return err
	}
	if !survives(ended, t, g) {
		return grantstore.ErrSessionEnded
	}
	return nil
}

func survives(ended *records.Ended, t grantstore.Type, g *records.Grant) bool {
	client := endedClient(ended, g.GetClientId())
	switch {
	case client.GetSurvivors() == records.Survivors_SURVIVORS_UNSPECIFIED, g.GetTokenNumber() < client.GetTokenNumber():
		return false
	case t.IsCode():
		// A used code is judged by its family: its reuse must still be noticed.
		return t == grantstore.AuthorizationCode && g.GetConsumed() != 0
	case client.GetSurvivors() == records.Survivors_SURVIVORS_ALL:
		return true
	case client.GetSurvivors() == records.Survivors_SURVIVORS_OFFLINE:
		return g.GetOutlives() || (t == grantstore.RefreshToken && g.GetOffline())
	}
	return false
}

// endedClient returns nil, which lets nothing live, where the client has no entry.
func endedClient(ended *records.Ended, clientID string) *records.EndedClient {
	for _, c := range ended.GetClients() {
		if c.GetClientId() == clientID {
			return c
		}
	}
	return nil
}

// loadEnded returns nil where there is no such record, which lets nothing live.
func loadEnded(r reader, sid string) (*records.Ended, error) {
	ended := &records.Ended{}
	found, err := load(r, endedKey(sid), ended)
	if err != nil || !found {
		return nil, err
	}
	return ended, nil
}

// loadClientUse returns nil where the client has no row in the session.
func loadClientUse(r reader, sid, client string) (*records.ClientUse, error) {
	use := &records.ClientUse{}
	found, err := load(r, clientUseKey(sid, client), use)
	if err != nil || !found {
		return nil, err
	}
	return use, nil
}
