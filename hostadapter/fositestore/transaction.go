package fositestore

// Transactions: the writes of a request, applied in one batch.

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type txKey struct{}

// txFrom returns the batch that gathers the writes between BeginTX and Commit, or nil.
func txFrom(ctx context.Context) *grantstore.Batch {
	tx, _ := ctx.Value(txKey{}).(*grantstore.Batch)
	return tx
}

// BeginTX returns a context in which writes are gathered until Commit (storage.Transactional). It holds no
// resources in the store.
func (s *Store) BeginTX(ctx context.Context) (context.Context, error) {
	return context.WithValue(ctx, txKey{}, &grantstore.Batch{OperationID: rand.Text()}), nil
}

// Commit applies the writes since BeginTX as one batch. If another request consumed the code or refresh token
// first, the error also matches fosite.ErrInactiveToken. Below the Provider it is applied after the last
// handler: one that fails later, as at the signature of the ID token, must not use the token up, because the
// repeated request would count as a reuse (rule 3).
func (s *Store) Commit(ctx context.Context) error {
	tx := txFrom(ctx)
	if tx == nil {
		return errors.New("fositestore: Commit without BeginTX")
	}
	if isEmpty(tx) {
		return nil
	}
	c := s.carriers.from(ctx)
	s.addUse(ctx, c, tx)
	s.addSlide(ctx, c, tx)
	// A later handler deletes rows of a code of the host's store there: such a code is used up at once.
	if c != nil && !c.hasLegacyCode() && c.postpone(tx) {
		return nil
	}
	return s.commit(ctx, c, tx)
}

// commit applies a batch, and publishes that its session was extended.
func (s *Store) commit(ctx context.Context, c *carrier, batch *grantstore.Batch) error {
	result, err := s.apply(ctx, c, batch)
	r := consumedRow(c, batch)
	if r != nil && r.grant.Offline && errors.Is(err, grantstore.ErrSessionEnded) {
		// Its session has expired since it was read: see read.
		s.tie.EndExpired(ctx, r.grant.SessionID)
		batch.OperationID = rand.Text()
		result, err = s.apply(ctx, c, batch)
	}
	if err == nil && result.Slid && batch.Slide != nil {
		s.tie.Slid(batch.Slide.SessionID, r.grant.SubjectID)
	}
	return lostRace(err)
}

// Rollback discards the writes since BeginTX.
func (s *Store) Rollback(ctx context.Context) error {
	if tx := txFrom(ctx); tx != nil {
		*tx = grantstore.Batch{}
	}
	return nil
}

// consumedRow returns the row that a batch consumes, if this request has read it.
func consumedRow(c *carrier, batch *grantstore.Batch) *row {
	if batch.Consume == nil {
		return nil
	}
	return c.row(batch.Consume.Ref)
}

func isEmpty(b *grantstore.Batch) bool {
	return b.Use == nil && b.Consume == nil && len(b.Delete) == 0 && len(b.Revoke) == 0 &&
		len(b.Store) == 0 && len(b.Seen) == 0
}

// lostRace adds fosite.ErrInactiveToken to the error of a request that lost the race for a code or refresh
// token, or whose token was read from a stale copy (prove).
func lostRace(err error) error {
	if errors.Is(err, grantstore.ErrConsumed) || errors.Is(err, ticketstore.ErrNotFound) ||
		errors.Is(err, ticketstore.ErrConflict) {
		return fosite.ErrInactiveToken.WithWrap(err)
	}
	return err
}

// addUse records that the client got tokens in the session, with its current logout settings. Only codes
// record a use: they require a live session anyway, whereas a refresh token may outlive its session, and the
// use would then make the store refuse the batch.
func (s *Store) addUse(ctx context.Context, c *carrier, batch *grantstore.Batch) {
	code := consumedRow(c, batch)
	if batch.Use == nil && code != nil && code.grant.Type == grantstore.AuthorizationCode &&
		code.grant.SessionID != "" && code.grant.ClientID != "" {
		batch.Use = s.use(ctx, c, code.grant.SessionID, code.grant.ClientID)
	}
}

func (s *Store) use(ctx context.Context, c *carrier, sessionID, clientID string) *grantstore.Use {
	use := &grantstore.Use{SessionID: sessionID, ClientID: clientID}
	settings, err := s.logoutSettings(ctx, c, clientID)
	switch {
	case err == nil:
		use.Notify, use.Muted = settings.BackChannelLogoutURI != "", settings.Muted
		use.Coordinated = s.tie.Coordinates(settings)
	case !errors.Is(err, ticketstore.ErrNotFound):
		// Prefer an unneeded notification: the dispatcher skips clients without a URI.
		s.tie.Logger.WarnContext(ctx, "the client's logout settings cannot be read", "client_id", clientID,
			"error", err)
		use.Notify = true
	}
	return use
}

// logoutSettings reads the client from the host's store unless this request has already read it.
func (s *Store) logoutSettings(ctx context.Context, c *carrier, clientID string) (*logout.Client, error) {
	if client := c.client(clientID); client != nil {
		return s.clients.settingsOf(ctx, client)
	}
	return s.clients.LogoutClient(ctx, clientID)
}
