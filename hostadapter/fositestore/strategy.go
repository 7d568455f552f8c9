package fositestore

import (
	"context"
	"net/http"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/fosite-sessions/sessions/grantstore"
)

// strategies are those with which the host composed fosite.
type strategies struct {
	code    oauth2.AuthorizeCodeStrategy
	access  oauth2.AccessTokenStrategy
	refresh oauth2.RefreshTokenStrategy
}

// strategies finds them in fosite's handler of codes. A host that has another one uses, we take it, what compose gives it.
func (s *Store) strategies(ctx context.Context) strategies {
	for _, handler := range s.fosite.GetTokenEndpointHandlers(ctx) {
		if h, ok := handler.(*oauth2.AuthorizeExplicitGrantHandler); ok {
			return strategies{code: h.AuthorizeCodeStrategy, access: h.AccessTokenStrategy, refresh: h.RefreshTokenStrategy}
		}
	}
	common := compose.NewOAuth2HMACStrategy(s.fosite)
	return strategies{code: common, access: common, refresh: common}
}

// validate checks the whole of a code or token. Whether it has expired is another question.
func (s strategies) validate(ctx context.Context, t grantstore.Type, token string) error {
	request := &fosite.Request{RequestedAt: time.Now(), Session: &fosite.DefaultSession{}}
	switch t {
	case grantstore.AuthorizationCode:
		return s.code.ValidateAuthorizeCode(ctx, request, token)
	case grantstore.RefreshToken:
		return s.refresh.ValidateRefreshToken(ctx, request, token)
	}
	return s.access.ValidateAccessToken(ctx, request, token)
}

// mayRevoke reports whether a token request that brings a used code or refresh token is to revoke its family: it comes from the client of
// the token and has the whole of it. fosite looks a token up by its second half, and revokes before it checks the first one and
// the client: a half that leaked, or another client, must not end anything.
func (s *Store) mayRevoke(ctx context.Context, t grantstore.Type, clientID string) bool {
	request, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester)
	if !ok {
		return true // a host that asks by itself, which has no more than the second half
	}
	field := "code"
	if t == grantstore.RefreshToken {
		field = "refresh_token"
	}
	client := request.GetClient()
	return client != nil && client.GetID() == clientID &&
		s.strategies(ctx).validate(ctx, t, request.GetRequestForm().Get(field)) == nil
}

// isHalf reports whether ctx is that of a revocation request (RFC 7009) that brings no more than the second half of a token. fosite, which
// reads without a session then, checks the client but not the first half.
func (s *Store) isHalf(ctx context.Context, t grantstore.Type, session fosite.Session) bool {
	request, ok := ctx.Value(fosite.RequestContextKey).(*http.Request)
	if !ok || !isNil(session) || ctx.Value(fosite.AccessRequestContextKey) != nil {
		return false
	}
	token := request.PostForm.Get("token")
	return token != "" && s.strategies(ctx).validate(ctx, t, token) != nil
}
