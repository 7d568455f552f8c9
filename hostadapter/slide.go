package hostadapter

// Renewal of sessions by their clients' use (rule 9).

import (
	"context"
	"sync"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
)

// coordinates reports whether the client's activity keeps sessions alive.
func (a *Adapter) coordinates(client *logout.Client) bool {
	if client != nil && client.Coordinate != nil {
		return *client.Coordinate
	}
	return a.config.Lifetime.CoordinateClients
}

// slide returns the renewal of a session for a batch that is written anyway, because a coordinating client
// uses it now. The store applies it at most once per Config.Lifetime.RenewEvery.
func (a *Adapter) slide(sessionID string) *grantstore.Slide {
	now := a.now()
	return &grantstore.Slide{
		SessionID: sessionID, Expires: now.Add(a.config.Lifetime.IdleTimeout),
		RenewedBefore: now.Add(-a.config.Lifetime.RenewEvery),
	}
}

// sliding holds the sids that a request of this host is renewing: concurrent requests need not write the
// same.
type sliding struct {
	mu   sync.Mutex
	sids map[string]bool
}

func (s *sliding) begin(sid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sids[sid] {
		return false
	}
	if s.sids == nil {
		s.sids = map[string]bool{}
	}
	s.sids[sid] = true
	return true
}

func (s *sliding) end(sid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sids, sid)
}

// slideDue reports whether a session with these times is due for renewal.
func (a *Adapter) slideDue(times *grantstore.SessionTimes) bool {
	now := a.now()
	return !times.Renewed.After(now.Add(-a.config.Lifetime.RenewEvery)) &&
		capped(now.Add(a.config.Lifetime.IdleTimeout), times.EndsAt).After(times.Expires)
}

// slideNow renews a session that a client uses in a request that writes nothing, such as introspection. times
// came with the client's token: if it is too early by them, nothing is written. A failure is logged; the
// session was live and its next use renews it.
func (a *Adapter) slideNow(ctx context.Context, sessionID, subjectID string, times *grantstore.SessionTimes) {
	if !a.slideDue(times) || !a.sliding.begin(sessionID) {
		return
	}
	defer a.sliding.end(sessionID)
	batch := &grantstore.Batch{OperationID: randomID(), Slide: a.slide(sessionID)}
	result, err := a.config.Backend.Grants().Apply(ctx, batch, a.now())
	switch {
	case err != nil:
		a.config.Logger.WarnContext(ctx, "session was not renewed", "session_id", sessionID, "error", err)
	case result.Slid:
		a.publishRenewed(sessionID, subjectID)
	}
}
