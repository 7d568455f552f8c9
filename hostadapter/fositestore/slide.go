package fositestore

// Extension of sessions when clients use their tokens (rule 9).

import (
	"context"

	"github.com/fosite-sessions/sessions/grantstore"
)

// addSlide extends the session of a consumed refresh token, in the same batch, if the client coordinates.
func (s *Store) addSlide(ctx context.Context, c *carrier, batch *grantstore.Batch) {
	if c == nil || batch.Slide != nil || batch.Consume == nil ||
		batch.Consume.Type != grantstore.RefreshToken {
		return
	}
	if r := c.row(batch.Consume.Ref); r != nil && r.session != nil && r.hasIssuer(s.tie.Issuer) &&
		s.coordinates(ctx, c, r.grant.ClientID) {
		batch.Slide = s.tie.Slide(r.grant.SessionID)
	}
}

// slide extends the sessions of the access tokens read in this request if their clients coordinate. Sessions
// of a former issuer are not extended.
func (s *Store) slide(ctx context.Context, c *carrier) {
	for _, r := range c.dueTokens(s.tie.SlideDue) {
		if r.hasIssuer(s.tie.Issuer) && s.coordinates(ctx, c, r.grant.ClientID) {
			s.tie.SlideNow(ctx, r.grant.SessionID, r.grant.SubjectID, r.session)
		}
	}
}

// dueTokens returns the live access tokens that were read and whose session is due to be extended.
func (c *carrier) dueTokens(due func(*grantstore.SessionTimes) bool) (rows []*row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.rows {
		if r.grant.Type == grantstore.ReferenceToken && r.session != nil && due(r.session) {
			rows = append(rows, r)
		}
	}
	return rows
}

// coordinates returns false if the client's settings cannot be read: ending a session early is the safer
// error.
func (s *Store) coordinates(ctx context.Context, c *carrier, clientID string) bool {
	settings, err := s.logoutSettings(ctx, c, clientID)
	return err == nil && s.tie.Coordinates(settings)
}
