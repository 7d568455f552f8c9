package fositestore

// Pushed authorization requests.

import (
	"context"
	"errors"
	"time"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// notStored are fields of a pushed request that authenticated the client and are of no use afterwards.
var notStored = []string{"client_secret", "client_assertion", "client_assertion_type"}

// CreatePARSession keeps a pushed authorization request, without the client's credentials and without a
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

// createPushed keeps a request like a pushed one.
func (s *Store) createPushed(
	ctx context.Context, requestURI string, request fosite.AuthorizeRequester, expires time.Time,
) error {
	grant, err := s.newGrant(grantstore.PushedAuthorization, requestURI, request, expires)
	if err != nil {
		return err
	}
	// A pushed request comes from a client, before a user signs in.
	grant.SessionID, grant.SubjectID, grant.Offline = "", "", false
	if err := s.sealRequest(&grant, request, encoding{withoutSession: true, dropFormFields: notStored},
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

// DeletePARSession removes a pushed authorization request: it can be used once. When another request used
// it first it is fosite.ErrNotFound. Below the Provider, which removes it with the answer, it stays: the user
// may have to sign in first.
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

// ClientAssertionJWTValid answers nil: SetClientAssertionJWT checks and inserts in one step, where two
// requests with the same assertion cannot both pass.
func (s *Store) ClientAssertionJWTValid(context.Context, string) error { return nil }

// SetClientAssertionJWT marks a jti as used until its assertion expires. A used one is fosite.ErrJTIKnown.
func (s *Store) SetClientAssertionJWT(ctx context.Context, jti string, exp time.Time) error {
	if jti == "" {
		return fosite.ErrJTIKnown
	}
	// At once, also while other writes are gathered: an assertion is used up whatever becomes of its request.
	_, err := s.apply(ctx, s.carriers.from(ctx), &grantstore.Batch{
		Store: []grantstore.Grant{
			{Ref: refOf(grantstore.JTI, jti), Created: s.now(), Expires: exp.UTC().Add(jtiMargin)},
		},
	})
	if errors.Is(err, ticketstore.ErrExists) {
		return fosite.ErrJTIKnown.WithWrap(err)
	}
	return err
}

// jtiMargin keeps a jti past the expiry of its assertion, for clocks that differ.
const jtiMargin = time.Minute

// IsJWTUsed reports whether a jti was used (rfc7523.RFC7523KeyStorage). Below the Provider, which knows the
// error of MarkJWTUsedForTime for what it is, the answer is left to that.
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
