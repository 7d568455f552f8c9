package fositestore

// Extension of sessions by the clients that use their tokens (rule 9).

import (
	"context"

	"github.com/fosite-sessions/sessions/grantstore"
)

// addSlide extends the session of a refresh token, in the batch that is written anyway, where the client
// coordinates.
func (s *Store) addSlide(ctx context.Context, c *carrier, batch *grantstore.Batch) {
	if c == nil || batch.Slide != nil || batch.Consume == nil ||
		batch.Consume.Type != grantstore.RefreshToken {
		return
	}
	if r := c.row(batch.Consume.Ref); r != nil && r.session != nil && r.isOf(s.tie.Issuer()) &&
		s.coordinates(ctx, c, r.grant.ClientID) {
		batch.Slide = s.tie.Slide(r.grant.SessionID)
	}
}

// slide extends the sessions of the access tokens of a request where their clients coordinate. One of a
// former issuer ends when it would by itself.
func (s *Store) slide(ctx context.Context, c *carrier) {
	for _, r := range c.shown(s.tie.SlideDue) {
		if r.isOf(s.tie.Issuer()) && s.coordinates(ctx, c, r.grant.ClientID) {
			s.tie.SlideNow(ctx, r.grant.SessionID, r.grant.SubjectID, r.session)
		}
	}
}

// shown returns the live access tokens that were read and that have a session, as far as that is due.
func (c *carrier) shown(due func(*grantstore.SessionTimes) bool) (rows []*row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.rows {
		if r.grant.Type == grantstore.ReferenceToken && r.session != nil && due(r.session) {
			rows = append(rows, r)
		}
	}
	return rows
}

// coordinates is false for a client whose settings cannot be read: a session ends rather early than late.
func (s *Store) coordinates(ctx context.Context, c *carrier, clientID string) bool {
	settings, err := s.logoutSettings(ctx, c, clientID)
	return err == nil && s.tie.Coordinates(settings)
}
