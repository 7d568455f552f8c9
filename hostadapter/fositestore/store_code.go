package fositestore

// Authorization codes and their OpenID and PKCE records.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// CreateAuthorizeCodeSession stores the request of a new code (oauth2.AuthorizeCodeStorage).
func (s *Store) CreateAuthorizeCodeSession(ctx context.Context, code string, request fosite.Requester) error {
	expires := expiry(request, fosite.AuthorizeCode, s.fosite.GetAuthorizeCodeLifespan(ctx))
	return s.create(ctx, grantstore.AuthorizationCode, code, request, expires)
}

// GetAuthorizeCodeSession returns the request of a code and fills the session. A second read in the same
// token request leaves the session unchanged. For a used code it returns fosite.ErrInvalidatedAuthorizeCode
// together with the request, so that fosite revokes the tokens issued for the code. It returns
// fosite.ErrNotFound for a used code if the token request is from another client or has only the signature of
// the code.
func (s *Store) GetAuthorizeCodeSession(
	ctx context.Context, code string, session fosite.Session,
) (fosite.Requester, error) {
	if code != "" {
		if r := s.carriers.from(ctx).row(refOf(grantstore.AuthorizationCode, code)); r != nil {
			return asRequester(s.requester(ctx, r, session))
		}
	}
	r, err := s.get(ctx, grantstore.AuthorizationCode, code)
	if s.mayBeLegacy(code, err) {
		request, legacyErr := s.fromLegacy(ctx, refOf(grantstore.AuthorizationCode, code),
			func() (fosite.Requester, error) {
				return s.legacy.GetAuthorizeCodeSession(ctx, code, session)
			})
		if !isUsed(legacyErr) {
			return request, legacyErr
		}
		// As with refresh tokens, a concurrent request may have moved the code meanwhile.
		r, err = s.get(ctx, grantstore.AuthorizationCode, code)
		if errors.Is(err, fosite.ErrNotFound) {
			return request, legacyErr
		}
	}
	if err == nil && r.moved() && !s.hasLegacy() {
		return nil, fosite.ErrNotFound // its code challenge can no longer be looked up
	}
	used := errors.Is(err, grantstore.ErrConsumed)
	if err != nil && !used {
		return nil, err
	}
	switch {
	case used && !s.mayRevoke(ctx, grantstore.AuthorizationCode, r.grant.ClientID):
		return nil, fosite.ErrNotFound
	case !used:
		if !r.hasIssuer(s.tie.Issuer) {
			return nil, fosite.ErrNotFound.WithWrap(
				fmt.Errorf("the code's session is of the former issuer %q", r.issuer))
		}
		if err := s.checkRelated(ctx, r); err != nil {
			return nil, err
		}
	}
	request, openErr := asRequester(s.hydrated(ctx, r, session))
	if openErr == nil && used {
		return request, fmt.Errorf("%w: %w", fosite.ErrInvalidatedAuthorizeCode, err)
	}
	return request, openErr
}

// InvalidateAuthorizeCodeSession consumes the code. The store removes its PKCE and OpenID records in the same
// transaction.
func (s *Store) InvalidateAuthorizeCodeSession(ctx context.Context, code string) error {
	if code == "" {
		return fosite.ErrNotFound
	}
	ref := refOf(grantstore.AuthorizationCode, code)
	expires := func(request fosite.Requester) time.Time {
		return expiry(request, fosite.AuthorizeCode, s.fosite.GetAuthorizeCodeLifespan(ctx))
	}
	err := s.move(ctx, ref, code, expires, func() error {
		return errors.Join(s.legacy.InvalidateAuthorizeCodeSession(ctx, code), s.deleteLegacyPKCE(ctx, code))
	})
	if err != nil {
		return err
	}
	return s.write(ctx, func(b *grantstore.Batch) error {
		return consume(b, grantstore.Consumption{Ref: ref})
	})
}

func (s *Store) deleteLegacyPKCE(ctx context.Context, code string) error {
	if s.legacy.pkce == nil {
		return nil
	}
	return s.legacy.pkce.DeletePKCERequestSession(ctx, code)
}

func consume(b *grantstore.Batch, consumption grantstore.Consumption) error {
	if b.Consume != nil && b.Consume.Ref != consumption.Ref {
		return errors.New("fositestore: a transaction can consume only one code or refresh token")
	}
	b.Consume = &consumption
	return nil
}

// asRequester prevents a nil *fosite.Request from becoming a non-nil interface.
func asRequester(request *fosite.Request, err error) (fosite.Requester, error) {
	if err != nil {
		return nil, err
	}
	return request, nil
}

// CreatePKCERequestSession stores the code challenge of a new code (pkce.PKCERequestStorage).
func (s *Store) CreatePKCERequestSession(
	ctx context.Context, signature string, request fosite.Requester,
) error {
	expires := expiry(request, fosite.AuthorizeCode, s.fosite.GetAuthorizeCodeLifespan(ctx))
	// newGrant still binds the record to the session, from which it reads the sid.
	return s.createWith(ctx, grantstore.PKCERequest, signature, request, expires,
		encoding{withoutSession: true},
		func(b *grantstore.Batch) error {
			return s.recordRelated(ctx, b, refOf(grantstore.AuthorizationCode, signature), hasPKCEField)
		})
}

// GetPKCERequestSession returns the request with the code challenge. It does not modify the session.
func (s *Store) GetPKCERequestSession(
	ctx context.Context, signature string, session fosite.Session,
) (fosite.Requester, error) {
	r, err := s.related(ctx, grantstore.PKCERequest, signature)
	if s.mayBeLegacy(signature, err) && s.legacy.pkce != nil {
		return s.fromLegacy(ctx, refOf(grantstore.PKCERequest, signature), func() (fosite.Requester, error) {
			return s.legacy.pkce.GetPKCERequestSession(ctx, signature, session)
		})
	}
	if err != nil {
		return nil, err
	}
	return asRequester(s.requester(ctx, r, session))
}

// DeletePKCERequestSession does nothing: the record is removed when its code is consumed. fosite deletes it
// before it checks the verifier, so that after a wrong verifier a request without one would get tokens.
func (s *Store) DeletePKCERequestSession(context.Context, string) error { return nil }

// CreateOpenIDConnectSession stores the OpenID request of a new code (openid.OpenIDConnectRequestStorage).
func (s *Store) CreateOpenIDConnectSession(
	ctx context.Context, authorizeCode string, request fosite.Requester,
) error {
	expires := expiry(request, fosite.AuthorizeCode, s.fosite.GetAuthorizeCodeLifespan(ctx))
	return s.createWith(ctx, grantstore.OpenIDRequest, authorizeCode, request, expires, encoding{},
		func(b *grantstore.Batch) error {
			signature := s.strategies(ctx).code.AuthorizeCodeSignature(ctx, authorizeCode)
			return s.recordRelated(ctx, b, refOf(grantstore.AuthorizationCode, signature), hasOpenIDField)
		})
}

// GetOpenIDConnectSession returns the OpenID request of a code. If the code was read in the same token
// request, its session is that of the given request: it was filled then, and the host may have changed it
// since.
func (s *Store) GetOpenIDConnectSession(
	ctx context.Context, authorizeCode string, request fosite.Requester,
) (fosite.Requester, error) {
	if authorizeCode == "" {
		return nil, fosite.ErrNotFound
	}
	var session fosite.Session
	if request != nil {
		session = request.GetSession()
	}
	c := s.carriers.from(ctx)
	if r := c.row(refOf(grantstore.OpenIDRequest, authorizeCode)); r != nil {
		if err := addCodeHash(session, r); err != nil {
			return nil, s.reportData(ctx, r.grant.Ref, err)
		}
		return asRequester(s.requester(ctx, r, session))
	}
	// The record of a code from the host's store is there too. It is read when the code is used up, so a read
	// of the backend that fails would lose the tokens.
	var r *row
	var err error = fosite.ErrNotFound.WithWrap(ticketstore.ErrNotFound)
	if !c.hasLegacyCode() {
		r, err = s.related(ctx, grantstore.OpenIDRequest, authorizeCode)
	}
	if s.mayBeLegacy(authorizeCode, err) && s.legacy.openID != nil {
		return s.fromLegacy(ctx, refOf(grantstore.OpenIDRequest, authorizeCode),
			func() (fosite.Requester, error) {
				return s.legacy.openID.GetOpenIDConnectSession(ctx, authorizeCode, request)
			})
	}
	if err != nil {
		return nil, err
	}
	return asRequester(s.hydrated(ctx, r, session))
}

// DeleteOpenIDConnectSession does nothing unless the code is in the host's own store, where it deletes the
// record: otherwise the record is removed when its code is consumed.
func (s *Store) DeleteOpenIDConnectSession(ctx context.Context, authorizeCode string) error {
	if !s.carriers.from(ctx).hasLegacyCode() {
		return nil
	}
	return s.inLegacy(ctx, func(l *legacy) error {
		if l.openID == nil {
			return nil
		}
		return l.openID.DeleteOpenIDConnectSession(ctx, authorizeCode)
	})
}

// related reads a row of a code's family. If the code was read in this request, its rows came with it, and a
// row that did not does not exist.
func (s *Store) related(ctx context.Context, t grantstore.Type, handle string) (*row, error) {
	if handle == "" {
		return nil, fosite.ErrNotFound
	}
	if c := s.carriers.from(ctx); c != nil && c.row(refOf(t, handle)) == nil && c.hasCode() {
		return nil, fosite.ErrNotFound
	}
	return s.get(ctx, t, handle)
}
