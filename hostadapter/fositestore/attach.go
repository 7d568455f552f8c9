package fositestore

// Attach: sessions join a server.

import (
	"context"
	"errors"
	"fmt"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
)

// Sessions are the sessions of a server built on fosite: the Adapter, which signs users in and out and
// removes sessions, and what joins it to fosite.
type Sessions struct {
	*hostadapter.Adapter

	store        *Store
	fosite       *fosite.Config
	hints        hostadapter.IDTokenHints // nil for a host that verifies none
	allowUnbound bool
	signs        bool         // logout tokens can be signed, or will
	keys         *signingKeys // nil where Config.Key does not sign logout tokens

	// may be nil
	mayIntrospect func(ctx context.Context, client fosite.Client, token fosite.AccessRequester) bool
}

// Attach returns the sessions of a server, at work. Its error names every field of the configuration that is
// wrong. ctx bounds the start only. Close the Sessions, then the backend.
func Attach(ctx context.Context, config Config) (*Sessions, error) {
	host, err := config.prepare(ctx)
	if err != nil {
		return nil, err
	}
	settle(ctx, config.Fosite)
	adapter, err := hostadapter.New(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("fositestore: %w", err)
	}
	keys, _ := host.Signer.(*signingKeys)
	return &Sessions{
		Adapter: adapter,
		signs:   host.Signer != logout.Signer(noKey{}),
		keys:    keys,
		store: &Store{
			adapter: adapter, tie: adapter.Tie(), host: config.Store,
			legacy: newLegacy(config.Store, config.LegacyUntil), clients: config.clients(),
			fosite: config.Fosite, grace: config.RefreshGrace,
		},
		fosite:       config.Fosite,
		hints:        host.Hints,
		allowUnbound: config.AllowUnbound,

		mayIntrospect: config.MayIntrospect,
	}, nil
}

// Ready reports whether sessions can be served: nil, or why not. It is that of the Adapter, and asks for a
// signing key that was not there at start (Config.Key).
func (s *Sessions) Ready(ctx context.Context) error {
	err := s.Adapter.Ready(ctx)
	if s.keys == nil {
		return err
	}
	if late := s.keys.ready(ctx); late != nil {
		err = errors.Join(err, fmt.Errorf("fositestore: Config.Key: %w", late))
	}
	return err
}

// Metadata is that of the Adapter. A server without a signing key supports no back-channel logout.
func (s *Sessions) Metadata(endSessionEndpoint string) *hostadapter.Metadata {
	m := s.Adapter.Metadata(endSessionEndpoint)
	m.BackChannelLogout, m.BackChannelLogoutSession = s.signs, s.signs
	return m
}

// settle has fosite's Config fill in the defaults that it otherwise fills in at first use, without a lock,
// while it serves, and gives it a page for response_mode=form_post that a policy fits.
func settle(ctx context.Context, config *fosite.Config) {
	config.GetSecretsHasher(ctx)
	config.GetScopeStrategy(ctx)
	config.GetAudienceStrategy(ctx)
	config.GetJWKSFetcherStrategy(ctx)
	if config.FormPostHTMLTemplate == nil {
		config.FormPostHTMLTemplate = formPostTemplate
	}
}

// Store returns the storage to give to compose.Compose or compose.ComposeAllEnabled in place of the host's
// own store.
func (s *Sessions) Store() *Store { return s.store }

// Provider decorates what compose returned. Use it wherever the server used fosite's. It panics where a
// handler keeps its grants in another store than Store, or one of Wrap: tokens there would outlive a session
// that was removed.
func (s *Sessions) Provider(provider fosite.OAuth2Provider) *Provider {
	if err := s.checkComposition(provider); err != nil {
		panic(err)
	}
	if issuesJWT(s.fosite) {
		s.store.tie.Logger().InfoContext(context.Background(),
			"access tokens are JWTs: resource servers that check them by themselves accept them until "+
				"their exp, also after the session has ended")
	}
	return &Provider{
		OAuth2Provider: provider, store: s.store, hints: s.hints, allowUnbound: s.allowUnbound,
		mayIntrospect: s.mayIntrospect,
	}
}

// NeedsSignIn is the function of that name.
func (s *Sessions) NeedsSignIn(session *hostadapter.Session, request fosite.AuthorizeRequester) bool {
	return NeedsSignIn(session, request)
}

// issuesJWT reports whether the composed handlers issue JWT access tokens, as far as their types say.
func issuesJWT(config *fosite.Config) bool {
	for _, handler := range config.TokenEndpointHandlers {
		code, ok := handler.(*oauth2.AuthorizeExplicitGrantHandler)
		if !ok {
			continue
		}
		strategy := any(code.AccessTokenStrategy)
		if common, ok := strategy.(*compose.CommonStrategy); ok {
			strategy = common.CoreStrategy
		}
		if _, ok := strategy.(*oauth2.DefaultJWTStrategy); ok {
			return true
		}
	}
	return false
}
