package fositestore

// Tokens from before the sessions, in the host's own store.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// movedMark is the description of a grant that was brought from the host's own store.
const movedMark = "moved from the server's own store"

// legacyStorage is what a store implements that fosite has kept tokens in.
type legacyStorage interface {
	oauth2.CoreStorage
	oauth2.TokenRevocationStorage
}

// legacy is the host's own store, in which earlier tokens are looked up that the grants do not have
// (Config.LegacyUntil). Codes and refresh tokens move when they are used: exactly one use succeeds in the
// grants, as for any other, and from then on the family lives there.
type legacy struct {
	legacyStorage
	openID openid.OpenIDConnectRequestStorage // nil where the host's store does not implement it
	pkce   pkce.PKCERequestStorage            // likewise
	until  time.Time
}

func newLegacy(store fosite.ClientManager, until time.Time) *legacy {
	core, ok := store.(legacyStorage)
	if !ok || until.IsZero() {
		return nil
	}
	l := &legacy{legacyStorage: core, until: until}
	l.openID, _ = store.(openid.OpenIDConnectRequestStorage)
	l.pkce, _ = store.(pkce.PKCERequestStorage)
	return l
}

// hasLegacy reports whether earlier tokens are still accepted.
func (s *Store) hasLegacy() bool { return s.legacy != nil && s.now().Before(s.legacy.until) }

// mayBeLegacy reports whether a handle that the grants answered with err is to be looked up in the host's
// store. One whose session has ended is known: it is not.
func (s *Store) mayBeLegacy(handle string, err error) bool {
	return handle != "" && errors.Is(err, ticketstore.ErrNotFound) && s.hasLegacy()
}

// fromLegacy reads a request in the host's store, once in a token request. A used one comes together with
// fosite's error for it. What else goes wrong leaves it open whether there is one.
func (s *Store) fromLegacy(
	ctx context.Context, ref grantstore.Ref, get func() (fosite.Requester, error),
) (fosite.Requester, error) {
	c := s.carriers.from(ctx)
	if request := c.legacyRequest(ref); request != nil {
		return request, nil
	}
	request, err := get()
	switch {
	case err == nil && request != nil:
		request = copyRequest(request)
		c.keepLegacy(ref, request)
		return request, nil
	case err == nil:
		return nil, fosite.ErrNotFound
	case saysUsed(err):
		if request != nil && !s.mayRevoke(ctx, ref.Type, request.GetClient().GetID()) {
			return nil, fosite.ErrNotFound
		}
		return request, err
	case errors.Is(err, fosite.ErrNotFound):
		return request, err
	}
	return nil, s.legacyFailed(ctx, err)
}

// saysUsed reports whether the host's store says that a code or refresh token was used.
func saysUsed(err error) bool {
	return errors.Is(err, fosite.ErrInactiveToken) || errors.Is(err, fosite.ErrInvalidatedAuthorizeCode)
}

// legacyFailed makes an error of the host's store one that asks the client to try again.
func (s *Store) legacyFailed(ctx context.Context, err error) error {
	err = fmt.Errorf("fositestore: the server's own store: %w: %w", ticketstore.ErrUnavailable, err)
	s.carriers.from(ctx).note(err)
	return err
}

// copyRequest keeps what fosite does to a request from the host's store: stores in memory hand out what they
// keep.
func copyRequest(request fosite.Requester) fosite.Requester {
	own := &fosite.Request{
		ID: request.GetID(), RequestedAt: request.GetRequestedAt(), Client: request.GetClient(),
		RequestedScope: request.GetRequestedScopes(), GrantedScope: request.GetGrantedScopes(),
		RequestedAudience: request.GetRequestedAudience(), GrantedAudience: request.GetGrantedAudience(),
		Form: request.GetRequestForm(),
	}
	if g11n, ok := request.(fosite.G11NContext); ok {
		own.Lang = g11n.GetLang()
	}
	if session := request.GetSession(); !isNil(session) {
		own.Session = session.Clone()
	}
	return own
}

// move brings a code or refresh token that this request read from the host's store, and is about to use up,
// into the grants, unbound, and has it used up in the host's store. It is written before the batch that uses
// it. A request that fails in between finds it among the grants when it is tried again, and goes on from
// there. Of concurrent requests all may move it: the batches decide which one uses it.
func (s *Store) move(
	ctx context.Context, ref grantstore.Ref, handle string, expires func(fosite.Requester) time.Time,
	useUp func() error,
) error {
	c := s.carriers.from(ctx)
	request := c.legacyRequest(ref)
	switch {
	case request != nil:
		batch := &grantstore.Batch{}
		if err := s.addMoved(batch, ref.Type, handle, request, expires(request), encoding{}); err != nil {
			return err
		}
		if challenge := c.legacyRequest(refOf(grantstore.PKCERequest,
			handle)); ref.Type == grantstore.AuthorizationCode && challenge != nil {
			// With the code, so that the next try asks for the verifier too, whatever has become of it in the
			// host's store.
			err := s.addMoved(batch, grantstore.PKCERequest, handle, challenge, expires(request),
				encoding{withoutSession: true})
			if err != nil {
				return err
			}
			if err := s.announce(ctx, batch, ref, hasPKCEField); err != nil {
				return err
			}
		}
		if _, err := s.apply(ctx, c, batch); err != nil && !errors.Is(err, ticketstore.ErrExists) {
			return err
		}
	case !s.hasLegacy() || !c.hasMoved(ref):
		return nil
	}
	if err := useUp(); err != nil && !errors.Is(err, fosite.ErrNotFound) {
		return s.legacyFailed(ctx, err)
	}
	return nil
}

func (s *Store) addMoved(
	batch *grantstore.Batch, t grantstore.Type, handle string, request fosite.Requester, expires time.Time,
	what encoding,
) error {
	grant, err := s.newGrant(t, handle, request, expires)
	if err != nil {
		return err
	}
	// A sid that the host had before is none of ours.
	grant.SessionID, grant.Description = "", movedMark
	if err := s.sealRequest(&grant, request, what, ""); err != nil {
		return err
	}
	batch.Store = append(batch.Store, grant)
	return nil
}

// inLegacy makes a change in the host's store too, while it may hold tokens. What it does not have is no
// error.
func (s *Store) inLegacy(ctx context.Context, change func(*legacy) error) error {
	if !s.hasLegacy() {
		return nil
	}
	if err := change(s.legacy); err != nil && !errors.Is(err, fosite.ErrNotFound) {
		return s.legacyFailed(ctx, err)
	}
	return nil
}

func (c *carrier) legacyRequest(ref grantstore.Ref) fosite.Requester {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.legacy[ref]
}

func (c *carrier) keepLegacy(ref grantstore.Ref, request fosite.Requester) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.legacy == nil {
		c.legacy = map[grantstore.Ref]fosite.Requester{}
	}
	c.legacy[ref] = request
}

// hasMoved reports whether the grant was read and came from the host's store.
func (c *carrier) hasMoved(ref grantstore.Ref) bool {
	if c == nil {
		return false
	}
	r := c.row(ref)
	return r != nil && r.moved()
}

// hasLegacyCode reports whether the code of this token request is the host's.
func (c *carrier) hasLegacyCode() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for ref := range c.legacy {
		if ref.Type == grantstore.AuthorizationCode {
			return true
		}
	}
	for _, r := range c.rows {
		if r.grant.Type == grantstore.AuthorizationCode && r.moved() {
			return true
		}
	}
	return false
}

func (r *row) moved() bool { return r.grant.Description == movedMark }
