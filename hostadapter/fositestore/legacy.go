package fositestore

// Tokens issued before Attach was used, in the host's own store.

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

// movedMark is the description of a grant that was moved from the host's own store.
const movedMark = "moved from the server's own store"

// legacyStorage is the interface of a store that fosite kept tokens in.
type legacyStorage interface {
	oauth2.CoreStorage
	oauth2.TokenRevocationStorage
}

// legacy is the host's own store, in which tokens are looked up that the backend does not have
// (Config.LegacyUntil). Codes and refresh tokens move to the backend when they are used: exactly one use
// succeeds there, and the family stays there.
type legacy struct {
	legacyStorage
	openID openid.OpenIDConnectRequestStorage // nil if the host's store does not implement it
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

// hasLegacy reports whether tokens in the host's store are still accepted.
func (s *Store) hasLegacy() bool { return s.legacy != nil && s.now().Before(s.legacy.until) }

// mayBeLegacy reports whether a handle must be looked up in the host's store after the backend returned err.
// A grant whose session has ended is known to the backend and is not looked up.
func (s *Store) mayBeLegacy(handle string, err error) bool {
	return handle != "" && errors.Is(err, ticketstore.ErrNotFound) && s.hasLegacy()
}

// fromLegacy reads a request from the host's store, once per token request. A used request is returned
// together with fosite's error for it. Errors other than not found and used leave the answer unknown.
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
	case isUsed(err):
		if request != nil && !s.mayRevoke(ctx, ref.Type, request.GetClient().GetID()) {
			return nil, fosite.ErrNotFound
		}
		return request, err
	case errors.Is(err, fosite.ErrNotFound):
		return request, err
	}
	return nil, s.legacyFailed(ctx, err)
}

// isUsed reports whether the error of the host's store means that a code or refresh token was used.
func isUsed(err error) bool {
	return errors.Is(err, fosite.ErrInactiveToken) || errors.Is(err, fosite.ErrInvalidatedAuthorizeCode)
}

// legacyFailed wraps an error of the host's store in ErrUnavailable, so that the client retries.
func (s *Store) legacyFailed(ctx context.Context, err error) error {
	err = fmt.Errorf("fositestore: the server's own store: %w: %w", ticketstore.ErrUnavailable, err)
	s.carriers.from(ctx).note(err)
	return err
}

// copyRequest copies a request from the host's store before fosite modifies it: in-memory stores return the
// stored object.
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

// move copies a code or refresh token that this request read from the host's store into the backend, without
// a session, and marks it as used in the host's store. It runs before the batch that consumes the token. If
// the request fails in between, a retry finds the token in the backend and continues there. Concurrent
// requests may all move the token; the batch that consumes it first wins.
func (s *Store) move(
	ctx context.Context, ref grantstore.Ref, handle string, expires func(fosite.Requester) time.Time,
	markUsed func() error,
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
			// In the same batch as the code, so that a retry requires the verifier even if the host's store
			// has deleted its record.
			err := s.addMoved(batch, grantstore.PKCERequest, handle, challenge, expires(request),
				encoding{withoutSession: true})
			if err != nil {
				return err
			}
			if err := s.recordRelated(ctx, batch, ref, hasPKCEField); err != nil {
				return err
			}
		}
		if _, err := s.apply(ctx, c, batch); err != nil && !errors.Is(err, ticketstore.ErrExists) {
			return err
		}
	case !s.hasLegacy() || !c.hasMoved(ref):
		return nil
	}
	if err := markUsed(); err != nil && !errors.Is(err, fosite.ErrNotFound) {
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
	// A sid that the host set is not the sid of one of our sessions.
	grant.SessionID, grant.Description = "", movedMark
	if err := s.sealRequest(&grant, request, what, ""); err != nil {
		return err
	}
	batch.Store = append(batch.Store, grant)
	return nil
}

// inLegacy applies a change to the host's store too, while it may hold tokens. Not found is no error.
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

// hasMoved reports whether the request read this grant and it was moved from the host's store.
func (c *carrier) hasMoved(ref grantstore.Ref) bool {
	r := c.row(ref)
	return r != nil && r.moved()
}

// hasLegacyCode reports whether the code of this token request is in the host's store.
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
	return c.hasRead(grantstore.AuthorizationCode, true)
}

func (r *row) moved() bool { return r.grant.Description == movedMark }
