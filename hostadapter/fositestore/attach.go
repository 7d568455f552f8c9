package fositestore

// Attach connects sessions to a server.

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
// removes sessions, and its integration with fosite.
type Sessions struct {
	*hostadapter.Adapter

	store        *Store
	fosite       *fosite.Config
	hints        hostadapter.IDTokenHints // nil if the host verifies no hints
	allowUnbound bool
	signs        bool         // logout tokens can be signed, now or once Config.Key returns a key
	keys         *signingKeys // nil if Config.Key does not sign logout tokens

	// may be nil
	mayIntrospect func(ctx context.Context, client fosite.Client, token fosite.AccessRequester) bool
}

// Attach starts the sessions of a server. Its error names each invalid field of the configuration. ctx bounds
// the start only. Close the Sessions before the backend.
func Attach(ctx context.Context, config Config) (*Sessions, error) {
	host, err := config.prepare(ctx)
	if err != nil {
		return nil, err
	}
	setDefaults(ctx, config.Fosite)
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

// Ready returns nil if sessions can be served, else the reason. In addition to Adapter.Ready it checks for a
// signing key that was not available at start (Config.Key).
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

// Metadata returns the Adapter's metadata, without back-channel logout if the server has no signing key.
func (s *Sessions) Metadata(endSessionEndpoint string) *hostadapter.Metadata {
	m := s.Adapter.Metadata(endSessionEndpoint)
	m.BackChannelLogout, m.BackChannelLogoutSession = s.signs, s.signs
	return m
}

// setDefaults sets the defaults of fosite's Config, which fosite otherwise sets at first use without a lock,
// while requests are served. It also sets the form_post page, which allows a strict policy.
func setDefaults(ctx context.Context, config *fosite.Config) {
	config.GetSecretsHasher(ctx)
	config.GetScopeStrategy(ctx)
	config.GetAudienceStrategy(ctx)
	config.GetJWKSFetcherStrategy(ctx)
	if config.FormPostHTMLTemplate == nil {
		config.FormPostHTMLTemplate = formPostTemplate
	}
}

// Store returns the storage to pass to compose.Compose or compose.ComposeAllEnabled in place of the host's
// own store.
func (s *Sessions) Store() *Store { return s.store }

// Provider decorates the provider that compose returned. Use it in place of fosite's. It panics if a handler
// keeps its grants in a store other than Store or one returned by Wrap, or introspects JWTs without a store
// (compose.OAuth2StatelessJWTIntrospectionFactory): such tokens would outlive a removed session.
func (s *Sessions) Provider(provider fosite.OAuth2Provider) *Provider {
	if err := s.checkComposition(provider); err != nil {
		panic(err)
	}
	if issuesJWT(s.fosite) {
		s.store.tie.Logger.InfoContext(context.Background(),
			"access tokens are JWTs: resource servers that verify them offline accept them until "+
				"their exp, even after the session has ended")
	}
	return &Provider{
		OAuth2Provider: provider, store: s.store, hints: s.hints, allowUnbound: s.allowUnbound,
		mayIntrospect: s.mayIntrospect,
	}
}

// NeedsSignIn calls the function NeedsSignIn.
func (s *Sessions) NeedsSignIn(session *hostadapter.Session, request fosite.AuthorizeRequester) bool {
	return NeedsSignIn(session, request)
}

// issuesJWT reports whether the composed handlers issue JWT access tokens, judging by their types.
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
