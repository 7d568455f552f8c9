package fositestore

// The configuration, and the settings derived from fosite's.

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Config configures Attach. Backend, Fosite and Store are required. Key is required if clients have a logout
// URI or the server issues ID tokens.
type Config struct {
	// Backend stores sessions and grants. The caller closes it, after the Sessions. Host.Swap.Backends and
	// Host.Swap.BackendName name the backends that can replace it while the server runs.
	Backend sessions.Backend
	// Fosite is the configuration that the server composes its provider with. The issuer is derived from it
	// if Host.Issuer is empty (IDTokenIssuer, else AccessTokenIssuer), and the sealing keys are derived from
	// it by HKDF (GlobalSecret, RotatedGlobalSecrets: keep a rotated secret for as long as its tokens live).
	// If the HMAC strategy has a configuration of its own and GlobalSecret is empty, set Host.Keys.
	//
	// Before anything is revoked, the whole code or token is validated with the strategies of the configured
	// oauth2.TokenRevocationHandler, oauth2.RefreshTokenGrantHandler and
	// oauth2.AuthorizeExplicitGrantHandler, including handlers in an exported field of a host's struct. If
	// the handlers cannot be found, compose's HMAC strategy with GlobalSecret is assumed. Without a
	// GlobalSecret, and for tokens that do not have the form "key.signature", the signature alone is checked.
	//
	// Attach sets the defaults that fosite would set at first use. If FormPostHTMLTemplate is nil, Attach
	// sets it to a page for response_mode=form_post, with which the Provider sends a content security policy.
	Fosite *fosite.Config
	// Store is the host's own store. It serves clients. If it implements Authenticator, it also serves the
	// password grant; with PublicKeys, JWT bearer; with verifiable.NonceManager, verifiable credentials.
	//
	// A client's logout settings come from optional methods of the type that GetClient returns:
	// GetBackChannelLogoutURI() string, GetBackChannelLogoutSessionRequired() bool,
	// GetFrontChannelLogoutURI() string, GetFrontChannelLogoutSessionRequired() bool,
	// GetPostLogoutRedirectURIs() []string, GetCoordinateLifetimeWithUserSession() *bool,
	// GetMutedSessionEnds() ticketstore.Ends; else from Host.Clients.
	Store fosite.ClientManager
	// Key returns the key that signs ID tokens, as the host passes it to fosite: an *rsa.PrivateKey,
	// *ecdsa.PrivateKey, a JSONWebKey or an OpaqueSigner of go-jose v3, or a crypto.Signer. It also signs
	// logout tokens, and Key is called for each of them.
	//
	// A server without ID tokens may leave Key nil. Then clients get no back-channel logout, users are asked
	// to confirm a sign-out that a client starts, and Attach logs a warning. If Key returns nil or an error
	// at start, Attach logs a warning and Ready fails until Key returns a key.
	Key func(ctx context.Context) (any, error)
	// KeyID is the kid in the server's JWKS of a key that has no kid of its own.
	KeyID string
	// FormerKeys returns the keys that verify id_token_hint at sign-out besides Key: former and future
	// signing keys, public or private, of the kinds that Key returns, or a *JSONWebKeySet. If it is nil,
	// users whose ID token was signed with a rotated key are asked to confirm the sign-out.
	FormerKeys func(ctx context.Context) ([]any, error)

	// AllowUnbound permits tokens for users without a session, for hosts that do not call SignIn for all
	// users. Such tokens end only when their subject is removed.
	AllowUnbound bool
	// RefreshGrace is how long after its first use a refresh token may be used again, for clients that lost
	// the response. Each response starts a line of refresh tokens; a family has at most grantstore.MaxLines
	// live lines. Zero, fosite's behavior, revokes the family at the second use, including a concurrent one.
	RefreshGrace time.Duration
	// LegacyUntil is the time until which the server accepts codes and tokens that were issued before Attach
	// was used and are in Store, which must still be the same fosite storage. Tokens not found in the backend
	// are looked up there. A refresh moves the whole family to the backend, permanently; revocations apply to
	// both stores. These tokens belong to no session: the end of a session does not affect them, nor does the
	// removal of their subject until they have moved. Zero disables the lookup.
	LegacyUntil time.Time
	// MayIntrospect reports whether the client that calls the introspection endpoint may see a live token,
	// whose request has its client, subject, scopes and audience. If it returns false, the response is
	// {"active":false}, as for a token that is not live, and the session is not extended. If it is nil, every
	// authenticated client, by its secret or an access token of its own, may see every token, as in fosite
	// (RFC 7662, section 2.1, leaves the decision to the server).
	MayIntrospect func(ctx context.Context, client fosite.Client, token fosite.AccessRequester) bool

	// Host holds all other settings: cookie, lifetimes, logout, former issuers, lost keys. Its fields take
	// precedence over values derived from the fields above.
	Host hostadapter.Config
}

// prepare validates the configuration, naming each bad field, and returns the host adapter's configuration.
func (c *Config) prepare(ctx context.Context) (hostadapter.Config, error) {
	host := c.Host
	errs := []error{c.check()}
	if host.Backend == nil {
		host.Backend = c.Backend
	}
	if host.Backend == nil && len(host.Swap.Backends) == 0 {
		errs = append(errs, invalidf("Backend", "is not set"))
	}
	if c.Fosite != nil {
		errs = append(errs, c.prepareIssuer(&host), c.prepareKeys(ctx, &host))
	}
	errs = append(errs, c.prepareSigner(ctx, &host))
	if c.Store != nil {
		host.Clients = c.clients()
	}
	return host, errors.Join(errs...)
}

func (c *Config) clients() *clients { return &clients{store: c.Store, settings: c.Host.Clients} }

func (c *Config) check() error {
	var errs []error
	if c.Fosite == nil {
		errs = append(errs, invalidf("Fosite", "is not set: it is the *fosite.Config given to compose"))
	}
	if c.Store == nil {
		errs = append(errs, invalidf("Store", "is not set: clients are read from it"))
	}
	if _, ours := c.Store.(*Store); ours {
		errs = append(errs, invalidf("Store", "is the Store that Attach returns: give it the host's own"))
	}
	if c.RefreshGrace < 0 {
		errs = append(errs, invalidf("RefreshGrace", "is negative"))
	}
	if _, keeps := c.Store.(legacyStorage); c.Store != nil && !c.LegacyUntil.IsZero() && !keeps {
		errs = append(errs,
			invalidf("LegacyUntil", "is set, but Store is a %T, which keeps no tokens: it must "+
				"implement oauth2.CoreStorage and oauth2.TokenRevocationStorage", c.Store))
	}
	return errors.Join(errs...)
}

// prepareIssuer sets the issuer: Host's, else that of ID tokens, else that of access tokens.
func (c *Config) prepareIssuer(host *hostadapter.Config) error {
	ofIDTokens, ofAccessTokens := c.Fosite.IDTokenIssuer, c.Fosite.AccessTokenIssuer
	switch {
	case host.Issuer != "" && ofIDTokens != "" && host.Issuer != ofIDTokens:
		return invalidf("Host.Issuer", "differs from Fosite.IDTokenIssuer")
	case host.Issuer == "" && ofIDTokens == "" && ofAccessTokens == "":
		return invalidf("Host.Issuer",
			"is empty, and so are Fosite.IDTokenIssuer and Fosite.AccessTokenIssuer: one of them is needed")
	case host.Issuer == "" && ofIDTokens == "" && !isWebURL(ofAccessTokens):
		return invalidf("Host.Issuer",
			"is empty, and Fosite.AccessTokenIssuer is not an http or https URL: set Host.Issuer to the "+
				"server's URL")
	}
	host.Issuer = cmp.Or(host.Issuer, ofIDTokens, ofAccessTokens)
	return nil
}

func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// prepareKeys derives the key ring. The secrets themselves are used only for fosite's signatures.
func (c *Config) prepareKeys(ctx context.Context, host *hostadapter.Config) error {
	if len(host.Keys) > 0 {
		return nil
	}
	if len(c.Fosite.GlobalSecret) == 0 {
		return invalidf("Host.Keys",
			"is empty, and so is Fosite.GlobalSecret, which they are derived from otherwise: set Host.Keys "+
				"to secrets "+
				"of at least %d bytes, as a server does whose HMAC strategy has a configuration of its own",
			hostadapter.MinKey)
	}
	current, err := c.Fosite.GetGlobalSecret(ctx)
	if err != nil {
		return fmt.Errorf("fositestore: reading Fosite.GlobalSecret, which Host.Keys can replace: %w", err)
	}
	rotated, err := c.Fosite.GetRotatedGlobalSecrets(ctx)
	if err != nil {
		return fmt.Errorf("fositestore: reading Fosite.RotatedGlobalSecrets: %w", err)
	}
	for i, secret := range append([][]byte{current}, rotated...) {
		if len(secret) < hostadapter.MinKey {
			field := "Fosite.GlobalSecret"
			if i > 0 {
				field = fmt.Sprintf("Fosite.RotatedGlobalSecrets[%d]", i-1)
			}
			return invalidf(field, "is shorter than %d bytes: where it cannot be longer, set Host.Keys",
				hostadapter.MinKey)
		}
		key, err := hkdf.Key(sha256.New, secret, nil, "fosite-sessions sealing secret v1", hostadapter.MinKey)
		if err != nil {
			return fmt.Errorf("fositestore: deriving a sealing key: %w", err)
		}
		host.Keys = append(host.Keys, key)
	}
	return nil
}

func (c *Config) prepareSigner(ctx context.Context, host *hostadapter.Config) error {
	if c.Key == nil {
		if host.Signer == nil {
			host.Signer = noKey{}
			logger(host).WarnContext(ctx,
				"no signing key (Config.Key): clients get no back-channel logout")
		}
		return nil
	}
	keys := &signingKeys{get: c.Key, keyID: c.KeyID}
	if host.Signer == nil {
		host.Signer = keys
		// Report a key that cannot sign now rather than at the first removal.
		switch err := keys.ready(ctx); {
		case errors.Is(err, errNoKey):
			logger(host).WarnContext(ctx,
				"signing key (Config.Key) is not available yet: Ready fails until it is", "error", err)
		case err != nil:
			return fmt.Errorf("fositestore: Config.Key: %w", err)
		}
	}
	if host.Hints == nil && c.Fosite != nil {
		host.Hints = &idTokenHints{
			keys: keys, former: c.FormerKeys, clients: c.Store,
			issuers: append([]string{host.Issuer}, host.FormerIssuers...),
		}
	}
	return nil
}

func logger(host *hostadapter.Config) *slog.Logger { return cmp.Or(host.Logger, slog.Default()) }

// invalidf returns the error for a field, named as in Go: "Config.Fosite".
func invalidf(field, problem string, args ...any) error {
	return fmt.Errorf("fositestore: %w", ticketstore.Invalidf("Config."+field, problem, args...))
}
