package fositestore

// Wrapped: the storage of a host that keeps its grants in its own store.

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"
	"github.com/ory/fosite/handler/rfc7523"
	"github.com/ory/fosite/handler/verifiable"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// OwnStore is a fosite storage in which a host keeps its grants. If it also implements
// openid.OpenIDConnectRequestStorage, pkce.PKCERequestStorage, Authenticator, rfc7523.RFC7523KeyStorage,
// verifiable.NonceManager or storage.Transactional, Wrapped delegates those too.
type OwnStore interface {
	fosite.ClientManager
	oauth2.CoreStorage
	oauth2.TokenRevocationStorage
}

// The interfaces that the factories of package compose require of a storage.
var (
	_ OwnStore                                            = (*Wrapped)(nil)
	_ fosite.PARStorage                                   = (*Wrapped)(nil)
	_ oauth2.ResourceOwnerPasswordCredentialsGrantStorage = (*Wrapped)(nil)
	_ openid.OpenIDConnectRequestStorage                  = (*Wrapped)(nil)
	_ pkce.PKCERequestStorage                             = (*Wrapped)(nil)
	_ rfc7523.RFC7523KeyStorage                           = (*Wrapped)(nil)
	_ verifiable.NonceManager                             = (*Wrapped)(nil)
	_ storage.Transactional                               = (*Wrapped)(nil)
)

// Interfaces that a host's store may omit. Embedding these unexported aliases keeps the fields of Wrapped
// unexported.
type (
	ownOpenID       = openid.OpenIDConnectRequestStorage
	ownPKCE         = pkce.PKCERequestStorage
	ownPasswords    = Authenticator
	ownAssertions   = rfc7523.RFC7523KeyStorage
	ownNonces       = verifiable.NonceManager
	ownTransactions = storage.Transactional
)

// pushedRequests are kept by the Store of the sessions: a pushed request must outlast a login page and be
// answered once, and fosite.PARStorage can neither extend a request nor delete it on a condition.
type pushedRequests = fosite.PARStorage

// Wrapped is a host's own store whose codes and tokens are valid only while their session lives. Its methods
// delegate to that store, except for pushed authorization requests (RFC 9126), which are kept with the
// sessions. Methods that the store lacks return an error; missing transactions are no-ops.
type Wrapped struct {
	OwnStore
	pushedRequests
	ownOpenID
	ownPKCE
	ownPasswords
	ownAssertions
	ownNonces
	ownTransactions

	sessions *Sessions
}

// Wrap returns the storage to pass to compose, in place of Store, for a host whose grants stay in its own
// store. Each read of a code or token checks whether its session is live (Live): after a removal, a sign-out
// or an expiry the grant is not found, although its row stays. Grants without a sid (issued earlier, or for
// client credentials) are not checked. The README of this package lists the limitations.
func (s *Sessions) Wrap(store OwnStore) *Wrapped {
	return &Wrapped{
		OwnStore: store, pushedRequests: s.store, ownOpenID: own[ownOpenID](store),
		ownPKCE: own[ownPKCE](store), ownPasswords: own[ownPasswords](store),
		ownAssertions: own[ownAssertions](store), ownNonces: own[ownNonces](store),
		ownTransactions: own[ownTransactions](store), sessions: s,
	}
}

// Live reports whether a session is live, with one call to the backend. It returns false for an unknown,
// ended or expired session, and ticketstore.ErrUnavailable if the backend is unavailable.
func (s *Sessions) Live(ctx context.Context, sid string) (bool, error) {
	detail, err := s.Backend().Tickets().Find(ctx, sid)
	switch {
	case errors.Is(err, ticketstore.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("fositestore: reading a session: %w", err)
	case detail == nil || detail.SessionID != sid:
		return false,
			fmt.Errorf("fositestore: reading a session: the store returned a different one: %w",
				ticketstore.ErrUnavailable)
	}
	return detail.LiveAt(s.store.now()), nil
}

// ifLive returns the request that the host's store returned, if its session is live.
func (w *Wrapped) ifLive(ctx context.Context, request fosite.Requester, err error) (fosite.Requester, error) {
	if err != nil || request == nil {
		return request, err
	}
	sid := SessionIDOf(request.GetSession())
	if sid == "" {
		return request, nil
	}
	switch live, err := w.sessions.Live(ctx, sid); {
	case err != nil:
		w.sessions.store.carriers.from(ctx).note(err)
		return nil, err
	case !live:
		return nil, fosite.ErrNotFound.WithWrap(grantstore.ErrSessionEnded)
	}
	return request, nil
}

// GetAuthorizeCodeSession returns fosite.ErrNotFound for a code whose session has ended.
func (w *Wrapped) GetAuthorizeCodeSession(
	ctx context.Context, code string, session fosite.Session,
) (fosite.Requester, error) {
	request, err := w.OwnStore.GetAuthorizeCodeSession(ctx, code, session)
	return w.ifLive(ctx, request, err)
}

// GetAccessTokenSession returns fosite.ErrNotFound for a token whose session has ended.
func (w *Wrapped) GetAccessTokenSession(
	ctx context.Context, signature string, session fosite.Session,
) (fosite.Requester, error) {
	request, err := w.OwnStore.GetAccessTokenSession(ctx, signature, session)
	return w.ifLive(ctx, request, err)
}

// GetRefreshTokenSession returns fosite.ErrNotFound for a token whose session has ended, including an offline
// token.
func (w *Wrapped) GetRefreshTokenSession(
	ctx context.Context, signature string, session fosite.Session,
) (fosite.Requester, error) {
	request, err := w.OwnStore.GetRefreshTokenSession(ctx, signature, session)
	return w.ifLive(ctx, request, err)
}

// own returns the host's store as T, or an implementation whose methods return an error.
func own[T any](store fosite.ClientManager) T {
	if own, ok := store.(T); ok {
		return own
	}
	none := absent{fosite.ErrServerError.WithWrap(
		fmt.Errorf("fositestore: %T does not implement %s", store, reflect.TypeFor[T]()))}
	return any(none).(T)
}

// absent implements the interfaces that a host's store lacks.
type absent struct{ err error }

func (a absent) CreateOpenIDConnectSession(context.Context, string, fosite.Requester) error {
	return a.err
}

func (a absent) GetOpenIDConnectSession(
	context.Context, string, fosite.Requester,
) (fosite.Requester, error) {
	return nil, a.err
}

func (a absent) DeleteOpenIDConnectSession(context.Context, string) error { return a.err }

func (a absent) CreatePKCERequestSession(context.Context, string, fosite.Requester) error {
	return a.err
}

func (a absent) GetPKCERequestSession(
	context.Context, string, fosite.Session,
) (fosite.Requester, error) {
	return nil, a.err
}

func (a absent) DeletePKCERequestSession(context.Context, string) error { return a.err }

func (a absent) Authenticate(context.Context, string, string) (string, error) { return "", a.err }

func (a absent) GetPublicKey(context.Context, string, string, string) (*jose.JSONWebKey, error) {
	return nil, a.err
}

func (a absent) GetPublicKeys(context.Context, string, string) (*jose.JSONWebKeySet, error) {
	return nil, a.err
}

func (a absent) GetPublicKeyScopes(context.Context, string, string, string) ([]string, error) {
	return nil, a.err
}

func (a absent) IsJWTUsed(context.Context, string) (bool, error) { return false, a.err }

func (a absent) MarkJWTUsedForTime(context.Context, string, time.Time) error { return a.err }

func (a absent) NewNonce(context.Context, string, time.Time) (string, error) { return "", a.err }

func (a absent) IsNonceValid(context.Context, string, string) error { return a.err }

func (a absent) BeginTX(ctx context.Context) (context.Context, error) { return ctx, nil }

func (a absent) Commit(context.Context) error { return nil }

func (a absent) Rollback(context.Context) error { return nil }
