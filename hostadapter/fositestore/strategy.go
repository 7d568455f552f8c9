package fositestore

import (
	"context"

	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
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
