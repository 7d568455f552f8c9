package fositestore

// The strategies that validate the whole of a token before it is revoked.

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/fosite-sessions/sessions/grantstore"
)

// strategies are the token strategies that the host composed fosite with.
type strategies struct {
	code    oauth2.AuthorizeCodeStrategy
	access  oauth2.AccessTokenStrategy
	refresh oauth2.RefreshTokenStrategy
}

// assumedHMAC is compose's HMAC strategy, for a host whose handlers do not expose theirs. Tokens of other
// forms, such as JWTs, pass unchecked: otherwise a revocation would be acknowledged without being done.
type assumedHMAC struct{ *oauth2.HMACSHAStrategy }

// canCheck reports whether the token can be checked: it has the HMAC form, and there is a secret.
func (a assumedHMAC) canCheck(ctx context.Context, token string) bool {
	secret, err := a.Enigma.Config.GetGlobalSecret(ctx)
	return strings.Count(token, ".") == 1 && err == nil && len(secret) > 0
}

func (a assumedHMAC) ValidateAuthorizeCode(ctx context.Context, r fosite.Requester, code string) error {
	if !a.canCheck(ctx, code) {
		return nil
	}
	return a.HMACSHAStrategy.ValidateAuthorizeCode(ctx, r, code)
}

func (a assumedHMAC) ValidateAccessToken(ctx context.Context, r fosite.Requester, token string) error {
	if !a.canCheck(ctx, token) {
		return nil
	}
	return a.HMACSHAStrategy.ValidateAccessToken(ctx, r, token)
}

func (a assumedHMAC) ValidateRefreshToken(ctx context.Context, r fosite.Requester, token string) error {
	if !a.canCheck(ctx, token) {
		return nil
	}
	return a.HMACSHAStrategy.ValidateRefreshToken(ctx, r, token)
}

// strategies looks them up in fosite's handlers. A host may have composed only some of these, or wrapped
// them.
func (s *Store) strategies(ctx context.Context) strategies {
	common := assumedHMAC{compose.NewOAuth2HMACStrategy(s.fosite)}
	found := strategies{code: common, access: common, refresh: common}
	for _, handler := range s.fosite.GetTokenEndpointHandlers(ctx) {
		if h := handlerIn[oauth2.AuthorizeExplicitGrantHandler](handler); h != nil {
			found.code = h.AuthorizeCodeStrategy
			found.access, found.refresh = h.AccessTokenStrategy, h.RefreshTokenStrategy
		} else if h := handlerIn[oauth2.RefreshTokenGrantHandler](handler); h != nil {
			found.access, found.refresh = h.AccessTokenStrategy, h.RefreshTokenStrategy
		}
	}
	for _, handler := range s.fosite.GetRevocationHandlers(ctx) {
		if h := handlerIn[oauth2.TokenRevocationHandler](handler); h != nil {
			found.access, found.refresh = h.AccessTokenStrategy, h.RefreshTokenStrategy
		}
	}
	return found
}

// handlerIn returns fosite's handler of type *H: handler itself, or one in an exported field of a struct that
// wraps it, or nil.
func handlerIn[H any](handler any) *H {
	for range maxWrappers {
		if h, ok := handler.(*H); ok {
			return h
		}
		v := reflect.Indirect(reflect.ValueOf(handler))
		if v.Kind() != reflect.Struct {
			return nil
		}
		handler = nil
		for i := range v.NumField() {
			field := v.Field(i)
			if !v.Type().Field(i).IsExported() {
				continue
			}
			if h, ok := field.Interface().(*H); ok {
				return h
			}
			if field.CanAddr() {
				if h, ok := field.Addr().Interface().(*H); ok {
					return h
				}
			}
			if field.Kind() == reflect.Interface && !field.IsNil() && isHandler(field.Interface()) {
				handler = field.Interface()
			}
		}
	}
	return nil
}

// maxWrappers bounds how deep a handler is searched.
const maxWrappers = 8

func isHandler(value any) bool {
	_, token := value.(fosite.TokenEndpointHandler)
	_, revocation := value.(fosite.RevocationHandler)
	return token || revocation
}

// validate checks the whole of a code or token, except whether it has expired.
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

// mayRevoke reports whether a token request with a used code or refresh token may revoke the token's family:
// only a request from the token's client with the whole token may. fosite looks a token up by its signature,
// the second half, and revokes before it checks the first half and the client. Other clients, and requests
// that know only the signature, must not revoke anything.
func (s *Store) mayRevoke(ctx context.Context, t grantstore.Type, clientID string) bool {
	request, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester)
	if !ok {
		return true // the host called the Store directly, with the signature only
	}
	field := "code"
	if t == grantstore.RefreshToken {
		field = "refresh_token"
	}
	client := request.GetClient()
	return client != nil && client.GetID() == clientID &&
		s.strategies(ctx).validate(ctx, t, request.GetRequestForm().Get(field)) == nil
}

// hasOnlySignature reports whether ctx belongs to a revocation request (RFC 7009) that has only the second
// half of a token. fosite then reads without a session and checks the client but not the first half.
func (s *Store) hasOnlySignature(ctx context.Context, t grantstore.Type, session fosite.Session) bool {
	request, ok := ctx.Value(fosite.RequestContextKey).(*http.Request)
	if !ok || !isNil(session) || ctx.Value(fosite.AccessRequestContextKey) != nil {
		return false
	}
	token := request.PostForm.Get("token")
	return token != "" && s.strategies(ctx).validate(ctx, t, token) != nil
}
