package fositestore

// Wrapped: the storage of a host that keeps its grants in a store of its own.

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
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// OwnStore is a fosite storage that a host keeps its grants in. Where it also implements
// openid.OpenIDConnectRequestStorage, pkce.PKCERequestStorage, fosite.PARStorage, Authenticator,
// rfc7523.RFC7523KeyStorage or storage.Transactional, Wrapped passes those on.
type OwnStore interface {
	fosite.ClientManager
	oauth2.CoreStorage
	oauth2.TokenRevocationStorage
}

// Everything that compose.ComposeAllEnabled asserts of a storage.
var (
	_ OwnStore                                            = (*Wrapped)(nil)
	_ fosite.PARStorage                                   = (*Wrapped)(nil)
	_ oauth2.ResourceOwnerPasswordCredentialsGrantStorage = (*Wrapped)(nil)
	_ openid.OpenIDConnectRequestStorage                  = (*Wrapped)(nil)
	_ pkce.PKCERequestStorage                             = (*Wrapped)(nil)
	_ rfc7523.RFC7523KeyStorage                           = (*Wrapped)(nil)
	_ storage.Transactional                               = (*Wrapped)(nil)
)

// Wrapped is a host's own store whose codes and tokens are good only while their session lives.
type Wrapped struct {
	OwnStore

	sessions *Sessions
}

// Wrap returns the storage to give to compose for a host whose grants stay where they are, in place of Store.
// Each read of a code or token asks whether its session lives (Live): after a removal, a sign-out or an
// expiry they are worthless, although their rows stay. A grant without a sid (of before, or of client
// credentials) is as good as the host's store says. What this cannot give is in the README of this package.
func (s *Sessions) Wrap(store OwnStore) *Wrapped { return &Wrapped{OwnStore: store, sessions: s} }

// Live reports whether a session lives, with one call to the backend. An unknown, ended or expired one does
// not. A backend that cannot be asked is ticketstore.ErrUnavailable.
func (s *Sessions) Live(ctx context.Context, sid string) (bool, error) {
	detail, err := s.Backend().Tickets().Find(ctx, sid)
	switch {
	case errors.Is(err, ticketstore.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("fositestore: reading a session: %w", err)
	case detail == nil || detail.SessionID != sid:
		return false,
			fmt.Errorf("fositestore: reading a session: the store gave another: %w",
				ticketstore.ErrUnavailable)
	}
	return detail.LiveAt(s.store.now()), nil
}

// alive returns the request that the host's store gave, if its session lives.
func (w *Wrapped) alive(ctx context.Context, request fosite.Requester, err error) (fosite.Requester, error) {
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

// GetAuthorizeCodeSession is that of the host's store. A code whose session has ended is fosite.ErrNotFound.
func (w *Wrapped) GetAuthorizeCodeSession(
	ctx context.Context, code string, session fosite.Session,
) (fosite.Requester, error) {
	request, err := w.OwnStore.GetAuthorizeCodeSession(ctx, code, session)
	return w.alive(ctx, request, err)
}

// GetAccessTokenSession is that of the host's store. A token whose session has ended is fosite.ErrNotFound.
func (w *Wrapped) GetAccessTokenSession(
	ctx context.Context, signature string, session fosite.Session,
) (fosite.Requester, error) {
	request, err := w.OwnStore.GetAccessTokenSession(ctx, signature, session)
	return w.alive(ctx, request, err)
}

// GetRefreshTokenSession is that of the host's store. A token whose session has ended is fosite.ErrNotFound,
// also an offline one.
func (w *Wrapped) GetRefreshTokenSession(
	ctx context.Context, signature string, session fosite.Session,
) (fosite.Requester, error) {
	request, err := w.OwnStore.GetRefreshTokenSession(ctx, signature, session)
	return w.alive(ctx, request, err)
}

// optional returns the host's store as an interface that it need not implement.
func optional[T any](w *Wrapped) (T, error) {
	store, ok := w.OwnStore.(T)
	if !ok {
		return store,
			fosite.ErrServerError.WithWrap(fmt.Errorf("fositestore: %T does not implement %s", w.OwnStore,
				reflect.TypeFor[T]()))
	}
	return store, nil
}

// CreateOpenIDConnectSession is that of the host's store, and so are the methods that follow. Where it has
// none they are an error.
func (w *Wrapped) CreateOpenIDConnectSession(
	ctx context.Context, code string, request fosite.Requester,
) error {
	store, err := optional[openid.OpenIDConnectRequestStorage](w)
	if err != nil {
		return err
	}
	return store.CreateOpenIDConnectSession(ctx, code, request)
}

// GetOpenIDConnectSession is that of the host's store: its code was read before.
func (w *Wrapped) GetOpenIDConnectSession(
	ctx context.Context, code string, request fosite.Requester,
) (fosite.Requester, error) {
	store, err := optional[openid.OpenIDConnectRequestStorage](w)
	if err != nil {
		return nil, err
	}
	return store.GetOpenIDConnectSession(ctx, code, request)
}

// DeleteOpenIDConnectSession is that of the host's store.
func (w *Wrapped) DeleteOpenIDConnectSession(ctx context.Context, code string) error {
	store, err := optional[openid.OpenIDConnectRequestStorage](w)
	if err != nil {
		return err
	}
	return store.DeleteOpenIDConnectSession(ctx, code)
}

// CreatePKCERequestSession is that of the host's store.
func (w *Wrapped) CreatePKCERequestSession(
	ctx context.Context, signature string, request fosite.Requester,
) error {
	store, err := optional[pkce.PKCERequestStorage](w)
	if err != nil {
		return err
	}
	return store.CreatePKCERequestSession(ctx, signature, request)
}

// GetPKCERequestSession is that of the host's store.
func (w *Wrapped) GetPKCERequestSession(
	ctx context.Context, signature string, session fosite.Session,
) (fosite.Requester, error) {
	store, err := optional[pkce.PKCERequestStorage](w)
	if err != nil {
		return nil, err
	}
	return store.GetPKCERequestSession(ctx, signature, session)
}

// DeletePKCERequestSession is that of the host's store.
func (w *Wrapped) DeletePKCERequestSession(ctx context.Context, signature string) error {
	store, err := optional[pkce.PKCERequestStorage](w)
	if err != nil {
		return err
	}
	return store.DeletePKCERequestSession(ctx, signature)
}

// CreatePARSession is that of the host's store.
func (w *Wrapped) CreatePARSession(
	ctx context.Context, requestURI string, request fosite.AuthorizeRequester,
) error {
	store, err := optional[fosite.PARStorage](w)
	if err != nil {
		return err
	}
	return store.CreatePARSession(ctx, requestURI, request)
}

// GetPARSession is that of the host's store.
func (w *Wrapped) GetPARSession(ctx context.Context, requestURI string) (fosite.AuthorizeRequester, error) {
	store, err := optional[fosite.PARStorage](w)
	if err != nil {
		return nil, err
	}
	return store.GetPARSession(ctx, requestURI)
}

// DeletePARSession is that of the host's store.
func (w *Wrapped) DeletePARSession(ctx context.Context, requestURI string) error {
	store, err := optional[fosite.PARStorage](w)
	if err != nil {
		return err
	}
	return store.DeletePARSession(ctx, requestURI)
}

// Authenticate is that of the host's store.
func (w *Wrapped) Authenticate(ctx context.Context, name string, secret string) (string, error) {
	store, err := optional[Authenticator](w)
	if err != nil {
		return "", err
	}
	return store.Authenticate(ctx, name, secret)
}

// GetPublicKey is that of the host's store.
func (w *Wrapped) GetPublicKey(
	ctx context.Context, issuer string, subject string, keyID string,
) (*jose.JSONWebKey, error) {
	store, err := optional[PublicKeys](w)
	if err != nil {
		return nil, err
	}
	return store.GetPublicKey(ctx, issuer, subject, keyID)
}

// GetPublicKeys is that of the host's store.
func (w *Wrapped) GetPublicKeys(
	ctx context.Context, issuer string, subject string,
) (*jose.JSONWebKeySet, error) {
	store, err := optional[PublicKeys](w)
	if err != nil {
		return nil, err
	}
	return store.GetPublicKeys(ctx, issuer, subject)
}

// GetPublicKeyScopes is that of the host's store.
func (w *Wrapped) GetPublicKeyScopes(
	ctx context.Context, issuer string, subject string, keyID string,
) ([]string, error) {
	store, err := optional[PublicKeys](w)
	if err != nil {
		return nil, err
	}
	return store.GetPublicKeyScopes(ctx, issuer, subject, keyID)
}

// IsJWTUsed is that of the host's store.
func (w *Wrapped) IsJWTUsed(ctx context.Context, jti string) (bool, error) {
	store, err := optional[rfc7523.RFC7523KeyStorage](w)
	if err != nil {
		return false, err
	}
	return store.IsJWTUsed(ctx, jti)
}

// MarkJWTUsedForTime is that of the host's store.
func (w *Wrapped) MarkJWTUsedForTime(ctx context.Context, jti string, exp time.Time) error {
	store, err := optional[rfc7523.RFC7523KeyStorage](w)
	if err != nil {
		return err
	}
	return store.MarkJWTUsedForTime(ctx, jti, exp)
}

// BeginTX is that of the host's store, or does nothing where it has no transactions.
func (w *Wrapped) BeginTX(ctx context.Context) (context.Context, error) {
	if store, ok := w.OwnStore.(storage.Transactional); ok {
		return store.BeginTX(ctx)
	}
	return ctx, nil
}

// Commit is that of the host's store, or does nothing.
func (w *Wrapped) Commit(ctx context.Context) error {
	if store, ok := w.OwnStore.(storage.Transactional); ok {
		return store.Commit(ctx)
	}
	return nil
}

// Rollback is that of the host's store, or does nothing.
func (w *Wrapped) Rollback(ctx context.Context) error {
	if store, ok := w.OwnStore.(storage.Transactional); ok {
		return store.Rollback(ctx)
	}
	return nil
}
