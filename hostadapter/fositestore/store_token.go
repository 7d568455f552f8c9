package fositestore

// Access and refresh tokens.

import (
	"context"
	"errors"
	"time"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
)

// CreateAccessTokenSession stores the request of a new access token (oauth2.AccessTokenStorage).
func (s *Store) CreateAccessTokenSession(
	ctx context.Context, signature string, request fosite.Requester,
) error {
	expires := expiry(request, fosite.AccessToken, s.fosite.GetAccessTokenLifespan(ctx))
	return s.create(ctx, grantstore.ReferenceToken, signature, request, expires)
}

// GetAccessTokenSession returns the request of a live access token and fills the session. If session is nil,
// the request has the stored session, as from fosite's own store, unless its type is one of the host's own.
func (s *Store) GetAccessTokenSession(
	ctx context.Context, signature string, session fosite.Session,
) (fosite.Requester, error) {
	r, err := s.get(ctx, grantstore.ReferenceToken, signature)
	if (err == nil || isAnswer(err)) && s.hasOnlySignature(ctx, grantstore.ReferenceToken, session) {
		return nil, fosite.ErrNotFound
	}
	if s.mayBeLegacy(signature, err) {
		return s.fromLegacy(ctx, refOf(grantstore.ReferenceToken, signature),
			func() (fosite.Requester, error) {
				return s.legacy.GetAccessTokenSession(ctx, signature, session)
			})
	}
	if err != nil {
		return nil, err
	}
	return asRequester(s.hydrated(ctx, r, session))
}

// DeleteAccessTokenSession removes one access token. A missing token is no error.
func (s *Store) DeleteAccessTokenSession(ctx context.Context, signature string) error {
	if err := s.inLegacy(ctx, func(l *legacy) error {
		return l.DeleteAccessTokenSession(ctx, signature)
	}); err != nil {
		return err
	}
	return s.remove(ctx, grantstore.ReferenceToken, signature)
}

// CreateRefreshTokenSession stores the request of a new refresh token (oauth2.RefreshTokenStorage). The
// access token belongs to the same family by its request id, so its signature is not stored.
func (s *Store) CreateRefreshTokenSession(
	ctx context.Context, signature, _ string, request fosite.Requester,
) error {
	return s.create(ctx, grantstore.RefreshToken, signature, request, refreshExpiry(request))
}

// refreshExpiry returns the session's expiry, or the zero time for none, as fosite does.
func refreshExpiry(request fosite.Requester) time.Time {
	if session := request.GetSession(); !isNil(session) {
		return session.GetExpiresAt(fosite.RefreshToken)
	}
	return time.Time{}
}

// GetRefreshTokenSession returns the request of a refresh token and fills the session, as
// GetAccessTokenSession does. For a used token it returns fosite.ErrInactiveToken together with the request,
// so that fosite revokes the family, unless the first use was within Config.RefreshGrace or the Provider is
// revoking the token, which revokes the family too. It returns fosite.ErrNotFound for a used token if the
// token request is from another client or has only the signature of the token.
func (s *Store) GetRefreshTokenSession(
	ctx context.Context, signature string, session fosite.Session,
) (fosite.Requester, error) {
	r, err := s.get(toConsume(ctx), grantstore.RefreshToken, signature)
	if (err == nil || isAnswer(err)) && s.hasOnlySignature(ctx, grantstore.RefreshToken, session) {
		return nil, fosite.ErrNotFound
	}
	if s.mayBeLegacy(signature, err) {
		request, legacyErr := s.fromLegacy(ctx, refOf(grantstore.RefreshToken, signature),
			func() (fosite.Requester, error) {
				return s.legacy.GetRefreshTokenSession(ctx, signature, session)
			})
		if !isUsed(legacyErr) {
			return request, legacyErr
		}
		// A concurrent request may have moved the token after the first read. Then the backend decides
		// whether it was used: reporting a reuse here would revoke the tokens that the other request is about
		// to issue.
		r, err = s.get(ctx, grantstore.RefreshToken, signature)
		if errors.Is(err, fosite.ErrNotFound) {
			if s.carriers.from(ctx).revokes() {
				return request, nil // as below
			}
			return request, legacyErr
		}
	}
	used := errors.Is(err, grantstore.ErrConsumed)
	if err != nil && !used {
		return nil, err
	}
	request, openErr := asRequester(s.hydrated(ctx, r, session))
	switch {
	case openErr != nil:
		return nil, openErr
	case !used:
		return request, nil
	case s.grace > 0 && r.request != "" && s.now().Before(r.grant.Consumed.Add(s.grace)):
		if c := s.carriers.from(ctx); c != nil {
			c.keep(r)
		}
		return request, nil
	case s.carriers.from(ctx).revokes():
		// Its family lives on, perhaps by a refresh that has just been answered. For an inactive token fosite
		// would answer 200 and revoke nothing.
		return request, nil
	case !s.mayRevoke(ctx, grantstore.RefreshToken, r.grant.ClientID):
		return nil, fosite.ErrNotFound
	}
	return request, fosite.ErrInactiveToken.WithWrap(err)
}

// DeleteRefreshTokenSession removes one refresh token. A missing token is no error.
func (s *Store) DeleteRefreshTokenSession(ctx context.Context, signature string) error {
	if err := s.inLegacy(ctx, func(l *legacy) error {
		return l.DeleteRefreshTokenSession(ctx, signature)
	}); err != nil {
		return err
	}
	if s.hasLegacy() {
		// Keep a used token for as long as it may have come from the host's store, so that a request that has
		// read it there cannot move it again.
		if _, err := s.get(ctx, grantstore.RefreshToken, signature); errors.Is(err, grantstore.ErrConsumed) {
			return nil
		}
	}
	return s.remove(ctx, grantstore.RefreshToken, signature)
}

// RotateRefreshToken consumes the refresh token. The store removes the family's access tokens in the same
// transaction. Of concurrent calls with the same token exactly one succeeds.
func (s *Store) RotateRefreshToken(
	ctx context.Context, requestID string, refreshTokenSignature string,
) error {
	if refreshTokenSignature == "" {
		return fosite.ErrNotFound
	}
	ref := refOf(grantstore.RefreshToken, refreshTokenSignature)
	err := s.move(ctx, ref, refreshTokenSignature, refreshExpiry, func() error {
		return s.legacy.RotateRefreshToken(ctx, requestID, refreshTokenSignature)
	})
	if err != nil {
		return err
	}
	return s.write(ctx, func(b *grantstore.Batch) error {
		return consume(b, grantstore.Consumption{Ref: ref, Grace: s.grace})
	})
}

// RevokeRefreshToken removes the live refresh tokens of a request (oauth2.TokenRevocationStorage). It is no
// error if there are none.
func (s *Store) RevokeRefreshToken(ctx context.Context, requestID string) error {
	if err := s.inLegacy(ctx, func(l *legacy) error {
		return l.RevokeRefreshToken(ctx, requestID)
	}); err != nil {
		return err
	}
	return s.revoke(ctx, requestID, grantstore.RefreshToken)
}

// RevokeAccessToken removes the live access tokens of a request. It is no error if there are none.
func (s *Store) RevokeAccessToken(ctx context.Context, requestID string) error {
	if err := s.inLegacy(ctx, func(l *legacy) error {
		return l.RevokeAccessToken(ctx, requestID)
	}); err != nil {
		return err
	}
	return s.revoke(ctx, requestID, grantstore.ReferenceToken)
}

func (s *Store) remove(ctx context.Context, t grantstore.Type, signature string) error {
	if signature == "" {
		return nil
	}
	return s.write(ctx, func(b *grantstore.Batch) error {
		b.Delete = append(b.Delete, refOf(t, signature))
		return nil
	})
}

func (s *Store) revoke(ctx context.Context, requestID string, t grantstore.Type) error {
	if requestID == "" {
		return nil
	}
	return s.write(ctx, func(b *grantstore.Batch) error {
		for i := range b.Revoke {
			if b.Revoke[i].RequestID == requestID {
				b.Revoke[i].Types = append(b.Revoke[i].Types, t)
				return nil
			}
		}
		b.Revoke = append(b.Revoke, grantstore.Revocation{RequestID: requestID, Types: []grantstore.Type{t}})
		return nil
	})
}
