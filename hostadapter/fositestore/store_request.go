package fositestore

// Pushed authorization requests and client assertions.

import (
	"context"
	"errors"
	"time"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// credentialFields are fields of a pushed request that authenticate the client and are not needed afterwards.
var credentialFields = []string{"client_secret", "client_assertion", "client_assertion_type"}

// CreatePARSession stores a pushed authorization request, without the client's credentials and without a
// session (fosite.PARStorage).
func (s *Store) CreatePARSession(
	ctx context.Context, requestURI string, request fosite.AuthorizeRequester,
) error {
	expires := s.now().Add(s.fosite.GetPushedAuthorizeContextLifespan(ctx))
	if session := request.GetSession(); !isNil(session) {
		if at := session.GetExpiresAt(fosite.PushedAuthorizeRequestContext); !at.IsZero() {
			expires = at
		}
	}
	return s.createPushed(ctx, requestURI, request, expires)
}

// createPushed stores a request like a pushed one.
func (s *Store) createPushed(
	ctx context.Context, requestURI string, request fosite.AuthorizeRequester, expires time.Time,
) error {
	grant, err := s.newGrant(grantstore.PushedAuthorization, requestURI, request, expires)
	if err != nil {
		return err
	}
	// A client pushes a request before a user signs in.
	grant.SessionID, grant.SubjectID, grant.Offline = "", "", false
	if err := s.sealRequest(&grant, request, encoding{withoutSession: true, dropFormFields: credentialFields},
		""); err != nil {
		return err
	}
	return s.write(ctx, func(b *grantstore.Batch) error {
		b.Store = append(b.Store, grant)
		return nil
	})
}

// GetPARSession returns a pushed authorization request. Its session is nil.
func (s *Store) GetPARSession(ctx context.Context, requestURI string) (fosite.AuthorizeRequester, error) {
	r, err := s.get(ctx, grantstore.PushedAuthorization, requestURI)
	if err != nil {
		return nil, err
	}
	if !r.request.has(authorizeField) {
		return nil, s.reportData(ctx, r.grant.Ref, errData)
	}
	client, err := s.client(ctx, r.request.text(clientIDField))
	if err != nil {
		return nil, err
	}
	request, err := decodeAuthorizeRequest(r.request, r.lang, client)
	if err != nil {
		return nil, s.reportData(ctx, r.grant.Ref, err)
	}
	return request, nil
}

// DeletePARSession removes a pushed authorization request, which can be used once. It returns
// fosite.ErrNotFound if another request used it first. Under the Provider, which removes it when it is
// answered, it does nothing: the user may have to sign in first.
func (s *Store) DeletePARSession(ctx context.Context, requestURI string) error {
	if c := s.carriers.from(ctx); c != nil && c.keepsPushed {
		return nil
	}
	return s.deletePushed(ctx, requestURI)
}

func (s *Store) deletePushed(ctx context.Context, requestURI string) error {
	result, err := s.apply(ctx, s.carriers.from(ctx), &grantstore.Batch{
		Delete: []grantstore.Ref{refOf(grantstore.PushedAuthorization, requestURI)},
	})
	if err == nil && result.Revoked == 0 {
		return fosite.ErrNotFound
	}
	return err
}

// ClientAssertionJWTValid returns nil: SetClientAssertionJWT checks and inserts in one step, so that two
// requests with the same assertion cannot both succeed.
func (s *Store) ClientAssertionJWTValid(context.Context, string) error { return nil }

// SetClientAssertionJWT marks a jti as used until its assertion expires. It returns fosite.ErrJTIKnown for a
// used one.
func (s *Store) SetClientAssertionJWT(ctx context.Context, jti string, exp time.Time) error {
	if jti == "" {
		return fosite.ErrJTIKnown
	}
	exp = storable(storable(exp).Add(jtiMargin))
	// Not gathered: an assertion is used even if its request fails.
	_, err := s.apply(ctx, s.carriers.from(ctx), &grantstore.Batch{
		Store: []grantstore.Grant{
			{Ref: refOf(grantstore.JTI, jti), Created: s.now(), Expires: exp},
		},
	})
	if errors.Is(err, ticketstore.ErrExists) {
		return fosite.ErrJTIKnown.WithWrap(err)
	}
	return err
}

// jtiMargin keeps a jti beyond the expiry of its assertion, to allow for clock skew.
const jtiMargin = time.Minute

// IsJWTUsed reports whether a jti was used (rfc7523.RFC7523KeyStorage). Under the Provider, which translates
// the error of MarkJWTUsedForTime, it returns false and leaves the check to that method.
func (s *Store) IsJWTUsed(ctx context.Context, jti string) (bool, error) {
	if _, ok := ctx.Value(carrierKey{}).(*carrier); ok {
		return false, nil
	}
	_, err := s.get(ctx, grantstore.JTI, jti)
	if errors.Is(err, fosite.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// MarkJWTUsedForTime does what SetClientAssertionJWT does.
func (s *Store) MarkJWTUsedForTime(ctx context.Context, jti string, exp time.Time) error {
	return s.SetClientAssertionJWT(ctx, jti, exp)
}
