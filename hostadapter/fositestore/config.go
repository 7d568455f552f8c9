package fositestore

// The configuration, and what of it follows from fosite's.

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

// Config says how sessions join a server. Backend, Fosite and Store are required; Key is where clients have a
// logout URI or ID tokens are issued.
type Config struct {
	// Backend is where sessions and grants are kept. It stays the caller's to close, after the Sessions.
	// Host.Swap.Backends and Host.Swap.BackendName name others that it may be swapped for while the server
	// serves.
	Backend sessions.Backend
	// Fosite is the configuration that the server composes its provider with. From it come the issuer, where
	// Host.Issuer is empty (IDTokenIssuer, else AccessTokenIssuer), and, by HKDF, the sealing keys
	// (GlobalSecret, RotatedGlobalSecrets: keep a rotated secret for as long as its tokens live). A server
	// whose HMAC strategy has a configuration of its own, so that GlobalSecret is empty, sets Host.Keys.
	//
	// The whole of a code or token is checked before anything is revoked, with the strategies of its
	// oauth2.TokenRevocationHandler, oauth2.RefreshTokenGrantHandler and
	// oauth2.AuthorizeExplicitGrantHandler, also where a struct of the host's has them in an exported field.
	// Of a host that hides them the HMAC strategy of compose is assumed, with GlobalSecret; without one, and
	// for tokens of another form than its "key.signature", they are revoked by their signature alone.
	//
	// Attach fills in what fosite would at first use, and FormPostHTMLTemplate where that is nil: a page for
	// response_mode=form_post whose content security policy the Provider sends along.
	Fosite *fosite.Config
	// Store is the host's own store. It serves clients; with Authenticator also the password grant, with
	// PublicKeys also JWT bearer, with verifiable.NonceManager also verifiable credentials.
	//
	// A client's logout settings come from optional methods of the type that GetClient returns:
	// GetBackChannelLogoutURI() string, GetBackChannelLogoutSessionRequired() bool,
	// GetFrontChannelLogoutURI() string, GetFrontChannelLogoutSessionRequired() bool,
	// GetPostLogoutRedirectURIs() []string, GetCoordinateLifetimeWithUserSession() *bool,
	// GetMutedSessionEnds() ticketstore.Ends; else from Host.Clients.
	Store fosite.ClientManager
	// Key returns the key that signs ID tokens, as the host gives it to fosite: an *rsa.PrivateKey,
	// *ecdsa.PrivateKey, a JSONWebKey or an OpaqueSigner of go-jose v3, or a crypto.Signer. It also signs
	// logout tokens, and is asked for at each of them.
	//
	// A server without ID tokens may leave it nil: no client is then notified by back-channel logout, users
	// are asked before they are signed out by a client, and a line is logged at start. A key that is nil or
	// an error at start is taken to come later: that is logged, and Ready fails until it is there.
	Key func(ctx context.Context) (any, error)
	// KeyID is the key's kid in the server's JWKS, for keys that do not bring one.
	KeyID string
	// FormerKeys returns keys that signed ID tokens before, or will, for id_token_hint at sign-out: public or
	// private ones, of the kinds that Key returns, or a *JSONWebKeySet. Nil: ID tokens of a key that was
	// rotated out have their users asked before they are signed out.
	FormerKeys func(ctx context.Context) ([]any, error)

	// AllowUnbound lets users be granted tokens without a session, for hosts that do not sign all of them in
	// with SignIn. Such tokens end only with their subject.
	AllowUnbound bool
	// RefreshGrace lets a refresh token be used again this long after its first use, for clients that lose
	// answers. Each answer begins a line of its own, at most grantstore.MaxLines live ones in a family. Zero,
	// as in fosite: a second use, also one at the same moment, revokes the whole family.
	RefreshGrace time.Duration
	// LegacyUntil lets the server go on with the codes and tokens that it kept in Store before it had
	// sessions, up to that moment: what the backend does not know is looked up in Store, which must still be
	// the fosite storage that it was. A refresh moves the whole family to the backend, permanently;
	// revocations reach both. Earlier tokens belong to no session: the end of one leaves them alone, and so
	// does a removal of their subject until they have moved. Zero: they are not looked up.
	LegacyUntil time.Time
	// MayIntrospect decides whether the client that asks the introspection endpoint may see a live token,
	// whose request has its client, subject, scopes and audience. A no is answered {"active":false}, as a
	// token that is not live, and keeps no session alive. Nil, as in fosite: every client that authenticates,
	// by its secret or an access token of its own, may see every token (RFC 7662, section 2.1, leaves it
	// to the server).
	MayIntrospect func(ctx context.Context, client fosite.Client, token fosite.AccessRequester) bool

	// Host is everything else: cookie, lifetimes, logout, former issuers, lost keys. What is set in it goes
	// before what follows from the fields above.
	Host hostadapter.Config
}

// prepare checks the configuration, names every field at fault, and returns that of the host adapter.
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
			invalidf("LegacyUntil", "is set, but store is a %T, which kept no tokens: it has "+
				"to implement oauth2.CoreStorage and oauth2.TokenRevocationStorage", c.Store))
	}
	return errors.Join(errs...)
}

// prepareIssuer finds the issuer: that of Host, of ID tokens, or of access tokens, in this order.
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

// prepareKeys derives the key ring. The secrets themselves keep serving fosite's signatures alone.
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
				"no signing key (Config.Key): no client is notified by back-channel logout that a session "+
					"has ended")
		}
		return nil
	}
	keys := &signingKeys{get: c.Key, keyID: c.KeyID}
	if host.Signer == nil {
		host.Signer = keys
		// A key of a kind that cannot sign is better found now than at the first removal.
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

// invalidf returns the error of a field, which is named as in Go: "Config.Fosite".
func invalidf(field, problem string, args ...any) error {
	return fmt.Errorf("fositestore: %w", ticketstore.Invalidf("Config."+field, problem, args...))
}
