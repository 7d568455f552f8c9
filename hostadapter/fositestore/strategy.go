package fositestore

import (
	"context"
	"net/http"
	"strings"
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

// assumed is the strategy that compose makes, for a host whose handlers do not show theirs. Tokens of
// another form, such as JWTs, pass: a revocation must not be answered without being done.
type assumed struct{ *oauth2.HMACSHAStrategy }

func isHMAC(token string) bool { return strings.Count(token, ".") == 1 }

func (a assumed) ValidateAccessToken(ctx context.Context, r fosite.Requester, token string) error {
	if !isHMAC(token) {
		return nil
	}
	return a.HMACSHAStrategy.ValidateAccessToken(ctx, r, token)
}

func (a assumed) ValidateRefreshToken(ctx context.Context, r fosite.Requester, token string) error {
	if !isHMAC(token) {
		return nil
	}
	return a.HMACSHAStrategy.ValidateRefreshToken(ctx, r, token)
}

// strategies finds them in fosite's handlers. A host may have composed some of these only, or wrapped them.
func (s *Store) strategies(ctx context.Context) strategies {
	common := assumed{compose.NewOAuth2HMACStrategy(s.fosite)}
	found := strategies{code: common, access: common, refresh: common}
	for _, handler := range s.fosite.GetTokenEndpointHandlers(ctx) {
		switch h := handler.(type) {
		case *oauth2.AuthorizeExplicitGrantHandler:
			found.code = h.AuthorizeCodeStrategy
			found.access, found.refresh = h.AccessTokenStrategy, h.RefreshTokenStrategy
		case *oauth2.RefreshTokenGrantHandler:
			found.access, found.refresh = h.AccessTokenStrategy, h.RefreshTokenStrategy
		}
	}
	for _, handler := range s.fosite.GetRevocationHandlers(ctx) {
		if h, ok := handler.(*oauth2.TokenRevocationHandler); ok {
			found.access, found.refresh = h.AccessTokenStrategy, h.RefreshTokenStrategy
		}
	}
	return found
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

// mayRevoke reports whether a token request that brings a used code or refresh token is to revoke its family:
// it comes from the client of the token and has the whole of it. fosite looks a token up by its second half,
// and revokes before it checks the first one and the client: a half that leaked, or another client, must not
// end anything.
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

// isHalf reports whether ctx is that of a revocation request (RFC 7009) that brings no more than the second
// half of a token. fosite, which reads without a session then, checks the client but not the first half.
func (s *Store) isHalf(ctx context.Context, t grantstore.Type, session fosite.Session) bool {
	request, ok := ctx.Value(fosite.RequestContextKey).(*http.Request)
	if !ok || !isNil(session) || ctx.Value(fosite.AccessRequestContextKey) != nil {
		return false
	}
	token := request.PostForm.Get("token")
	return token != "" && s.strategies(ctx).validate(ctx, t, token) != nil
}
