package hostadapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Defaults of Config.
const (
	DefaultIdleTimeout = 10 * time.Hour
	DefaultRenewEvery  = time.Minute
	DefaultSweepEvery  = time.Minute
	DefaultSweepBatch  = 200
	// DefaultFrontChannelWait is how long a browser stays with the frames of a sign-out at most.
	DefaultFrontChannelWait = 5 * time.Second
	// DefaultCookieName is the cookie's name below an http issuer; below an https one it has the prefix
	// "__Host-", unless the cookie has a Domain.
	DefaultCookieName = "fosite_session"
	// MinKey is the least length of a sealing key in bytes.
	MinKey = 32
)

// Config says how an Adapter works. Backend, Issuer, Keys, Signer and Clients are required.
type Config struct {
	// Backend is where sessions are kept. It stays the caller's to close, after the Adapter; one that a swap
	// has replaced is closed then, and its Close must stand being called again. It may be nil where Backends
	// has BackendName.
	Backend sessions.Backend
	// Backends open the backends that may be swapped to (Swap), by name. What they open the Adapter closes.
	Backends map[string]func(ctx context.Context) (sessions.Backend, error)
	// BackendName is what Backend is called, in Backends or, if it is not among them, elsewhere. Required
	// with Backends: a backend keeps the name of the one that has taken its place, so that a host which
	// starts with the old one goes on with the new one. Each store on that way is opened at the start: after
	// some swaps, name the newest here.
	BackendName string
	// Pins, if set, keep which stores may serve across restarts: a start over another store, or none, is
	// refused as ticketstore.ErrOtherStore.
	Pins Pins
	// Issuer is the server's issuer identifier, an http or https URL. Its scheme decides whether the cookie
	// is Secure.
	Issuer string
	// FormerIssuers are identifiers that the server had before it was renamed to Issuer. A store remembers
	// its issuer, and belongs to it alone: one of any other is refused (ErrOtherIssuer). A session of a
	// former issuer signs nobody in any more and is not renewed; its refresh tokens are good until it ends,
	// their ID tokens and its logout tokens keep its issuer, and the next sign-in over its cookie ends it.
	FormerIssuers []string
	// Keys are the secrets from which the sealing keys are derived, each at least MinKey bytes. The first
	// seals, every one opens: to rotate, put the new one first and keep the old ones for as long as records
	// sealed with them live.
	Keys [][]byte
	// UnboundUntil lets sessions and tokens of a release before this setting pass until that moment. They
	// were not sealed for all that they belong to: until then a store that lies, or a backup that was
	// changed, can give one user's session to another. Set it when upgrading a server that has such sessions,
	// to the end of their lives or earlier. Sessions are sealed anew when they are next used, tokens when
	// they are refreshed: what is not used by then is lost, also offline refresh tokens. Zero: their users
	// sign in again.
	UnboundUntil time.Time
	// KeysLost goes on with a store that none of Keys opens, which is refused otherwise (ErrKeysLost). What
	// is in it lets nobody in: users sign in again, which ends their old sessions, and earlier tokens are
	// inactive. A store that the keys open is not touched by it. It is refused for a store that other hosts
	// may use (ticketstore.Description.Shared): their keys may open it. Take it out again after the start:
	// left set, it also accepts the next wrong key.
	KeysLost bool
	// Signer signs logout tokens with the key of the ID tokens. See NewSigner.
	Signer logout.Signer
	// Clients finds the clients to tell.
	Clients logout.ClientSource
	// Hints verifies id_token_hint at the end-session endpoint. Without it hints are ignored and every
	// sign-out is confirmed.
	Hints IDTokenHints

	// MatchLogoutHint reports whether a logout_hint means the user of the session. Where it says no the user
	// is asked before signing out. Without it the parameter is ignored: what is in it is between the client
	// and the host (RP-Initiated Logout 1.0, section 2).
	MatchLogoutHint func(hint string, session *Session) bool
	// WaitForNotices is how long the end-session endpoint waits, before it answers, until every client has
	// taken its logout token or refused it. Zero: not at all.
	WaitForNotices time.Duration
	// FrontChannelWait is how long the browser stays at most with the frames in which clients clear their
	// cookies, before it goes on. DefaultFrontChannelWait when zero.
	FrontChannelWait time.Duration
	// LogoutPage shows the pages of the end-session endpoint in the host's own look and in the user's
	// language. Plain English ones when nil.
	LogoutPage func(w http.ResponseWriter, r *http.Request, page *LogoutPage)

	// Cookie shapes the session cookie; its zero value is right for most servers.
	Cookie Cookie
	// IdleTimeout is how long a session lives without being used. DefaultIdleTimeout when zero.
	IdleTimeout time.Duration
	// AbsoluteTimeout is how long a session lives at most after a sign-in, however much it is used. Zero: no
	// limit.
	AbsoluteTimeout time.Duration
	// RenewEvery is the least time between two renewals of one session, each of which is a write.
	// DefaultRenewEvery when zero, or half of IdleTimeout where that is less.
	RenewEvery time.Duration
	// RevokeOfflineOnSignOut and RevokeOfflineOnExpiry end refresh tokens with offline access along with the
	// session. By default they outlive it (Back-Channel Logout 1.0, section 2.7); a removal ends them in any
	// case.
	RevokeOfflineOnSignOut bool
	RevokeOfflineOnExpiry  bool

	// RemoteAddr tells a request's address. By default it is the host in r.RemoteAddr. A host behind a proxy
	// must set it: otherwise all requests have the address of the proxy, and package admin throttles guesses
	// by address.
	RemoteAddr func(r *http.Request) string
	// AllowLogoutCIDRs are private, loopback and link-local addresses to which logout tokens may go all the
	// same.
	AllowLogoutCIDRs []netip.Prefix
	// DeliveryTimeout, DeliveryConcurrency and DeliveriesPerClient are those of logout.DispatcherConfig, and
	// so are their defaults.
	DeliveryTimeout     time.Duration
	DeliveryConcurrency int
	DeliveriesPerClient int

	// ExpiryOff leaves it to another host of the same backend to end sessions that fall due, and to purge
	// what is left of ended ones, of notices and of jobs: one host must do it. Such a session is worth
	// nothing here either way.
	ExpiryOff bool
	// SweepBatch is how many sessions end in one call of the store. DefaultSweepBatch when zero.
	SweepBatch int
	// SweepEvery is how often what is past its time is purged, and the store asked although nothing is known
	// to be due. DefaultSweepEvery when zero. A session that falls due is ended within a second in any case;
	// where several hosts share a store, one of another host's too.
	SweepEvery time.Duration
	// TellOnExpiry says which clients are told of a session that expired. TellAll when empty.
	TellOnExpiry TellClients
	// CoordinateClients has sessions live on while their clients refresh, have tokens introspected or ask for
	// userinfo, unless a client has a setting of its own (logout.Client.Coordinate).
	CoordinateClients bool
	// MaxSessions bounds the live sessions of one subject. 0: no limit. A sign-in above it ends the oldest
	// ones, or, with RefuseSignIn, fails with ticketstore.ErrTooManySessions.
	MaxSessions  int
	RefuseSignIn bool

	// Events are told what happens to sessions. NewEventLog returns one that writes a log.
	Events []Subscriber

	// Now is the clock, time.Now by default.
	Now func() time.Time
	// Logger is slog.Default() by default.
	Logger *slog.Logger
}

// TellClients says which clients of a session are told of its end.
type TellClients string

// Which clients are told.
const (
	TellAll          TellClients = "all"
	TellCoordinating TellClients = "coordinating" // those whose activity keeps the session alive
	TellNone         TellClients = "none"
)

// Cookie shapes the session cookie. It is always HttpOnly, on path "/", and Secure when the issuer is https.
type Cookie struct {
	// Name replaces the default name and is used as it is. Ports share cookies: servers on one host need
	// names of their own.
	Name string
	// Domain lets the server's sibling hosts receive the cookie. Not together with a name that begins with
	// "__Host-".
	Domain string
	// SameSite is http.SameSiteLaxMode when zero. Strict makes users who come from another site look signed
	// out; None needs https.
	SameSite http.SameSite
	// Persistent keeps the cookie when the browser is closed, until the session's absolute end, or for 400
	// days where it has none. It is written at sign-in only.
	Persistent bool
}

// prepare checks the whole configuration, names every field at fault, and fills in the defaults.
func (c *Config) prepare() error {
	c.setDefaults()
	return errors.Join(c.checkRequired(), c.checkIssuer(), c.checkKeys(), c.checkCookie(), c.checkTimes())
}

func (c *Config) setDefaults() {
	if c.IdleTimeout == 0 {
		c.IdleTimeout = DefaultIdleTimeout
	}
	if c.RenewEvery == 0 {
		c.RenewEvery = min(DefaultRenewEvery, c.IdleTimeout/2)
	}
	if c.SweepBatch == 0 {
		c.SweepBatch = DefaultSweepBatch
	}
	if c.TellOnExpiry == "" {
		c.TellOnExpiry = TellAll
	}
	if c.SweepEvery == 0 {
		c.SweepEvery = DefaultSweepEvery
	}
	if c.FrontChannelWait == 0 {
		c.FrontChannelWait = DefaultFrontChannelWait
	}
	if c.Cookie.SameSite == 0 {
		c.Cookie.SameSite = http.SameSiteLaxMode
	}
	if c.Cookie.Name == "" {
		c.Cookie.Name = DefaultCookieName
		if c.secure() && c.Cookie.Domain == "" {
			c.Cookie.Name = hostPrefix + DefaultCookieName
		}
	}
	if c.RemoteAddr == nil {
		c.RemoteAddr = remoteHost
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

func (c *Config) secure() bool { return strings.HasPrefix(strings.ToLower(c.Issuer), "https://") }

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func bad(field, problem string, args ...any) error {
	return fmt.Errorf("hostadapter: %w", ticketstore.Invalidf(field, problem, args...))
}

func (c *Config) checkRequired() error {
	var errs []error
	errs = append(errs, c.checkBackends())
	if c.Signer == nil {
		errs = append(errs, bad("signer", "is not set: logout tokens need the key that signs ID tokens, see NewSigner"))
	}
	if c.Clients == nil {
		errs = append(errs, bad("clients", "is not set: an empty logout.ClientMap means that no client is told"))
	}
	return errors.Join(errs...)
}

func (c *Config) checkBackends() error {
	switch open, named := c.Backends[c.BackendName]; {
	case c.Backend == nil && len(c.Backends) == 0:
		return bad("backend", "is not set")
	case len(c.Backends) > 0 && c.BackendName == "":
		return bad("backend_name", "is empty: say what the backend is called among Backends")
	case c.Backend == nil && (!named || open == nil):
		return bad("backend_name", "is none of Backends, and Backend is not set")
	}
	for name, open := range c.Backends {
		if err := ticketstore.CheckID("backends", name); err != nil {
			return fmt.Errorf("hostadapter: %w", err)
		}
		if open == nil {
			return bad("backends", "%q has no function", name)
		}
	}
	return nil
}

func (c *Config) checkIssuer() error {
	errs := []error{checkIssuer("issuer", c.Issuer)}
	for i, issuer := range c.FormerIssuers {
		field := fmt.Sprintf("former_issuers[%d]", i)
		errs = append(errs, checkIssuer(field, issuer))
		if issuer == c.Issuer {
			errs = append(errs, bad(field, "is the issuer itself"))
		}
	}
	return errors.Join(errs...)
}

func checkIssuer(field, issuer string) error {
	if err := ticketstore.CheckID(field, issuer); err != nil {
		return fmt.Errorf("hostadapter: %w", err)
	}
	u, err := url.Parse(issuer)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return bad(field, "is not an http or https URL")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#") || u.User != nil:
		// OpenID Connect Discovery 1.0, section 3.
		return bad(field, "has a query, a fragment or a user")
	}
	return nil
}

func (c *Config) checkKeys() error {
	if len(c.Keys) == 0 {
		return bad("keys", "is empty: at least one secret of %d bytes is needed", MinKey)
	}
	var errs []error
	for i, key := range c.Keys {
		if len(key) < MinKey {
			errs = append(errs, bad(fmt.Sprintf("keys[%d]", i), "is shorter than %d bytes", MinKey))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) checkCookie() error {
	var errs []error
	name, domain := c.Cookie.Name, c.Cookie.Domain
	hostOnly, secureOnly := hasPrefixFold(name, hostPrefix), hasPrefixFold(name, securePrefix)
	switch {
	case (&http.Cookie{Name: name, Value: "v"}).Valid() != nil: //nolint:gosec // it is not sent
		errs = append(errs, bad("cookie.name", "is not a cookie name (RFC 6265, section 4.1.1)"))
	case (hostOnly || secureOnly) && !c.secure():
		errs = append(errs, bad("cookie.name", "has a prefix that needs an https issuer"))
	case hostOnly && domain != "":
		errs = append(errs, bad("cookie.domain", "does not go with a name that begins with __Host-"))
	}
	if domain != "" && (&http.Cookie{Name: "n", Value: "v", Domain: domain}).Valid() != nil { //nolint:gosec // it is not sent
		errs = append(errs, bad("cookie.domain", "is not a domain"))
	}
	switch c.Cookie.SameSite {
	case http.SameSiteLaxMode, http.SameSiteStrictMode:
	case http.SameSiteNoneMode:
		if !c.secure() {
			errs = append(errs, bad("cookie.same_site", "None needs an https issuer"))
		}
	default:
		errs = append(errs, bad("cookie.same_site", "is none of Lax, Strict and None"))
	}
	return errors.Join(errs...)
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func (c *Config) checkTimes() error {
	var errs []error
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"idle_timeout", c.IdleTimeout}, {"absolute_timeout", c.AbsoluteTimeout}, {"renew_every", c.RenewEvery},
		{"sweep_every", c.SweepEvery}, {"delivery_timeout", c.DeliveryTimeout},
		{"wait_for_notices", c.WaitForNotices}, {"front_channel_wait", c.FrontChannelWait},
	} {
		if d.value < 0 {
			errs = append(errs, bad(d.field, "is negative"))
		}
	}
	if c.SweepBatch < 0 || c.SweepBatch > ticketstore.MaxCount {
		errs = append(errs, bad("sweep_batch", "is outside 1 to %d", ticketstore.MaxCount))
	}
	if c.MaxSessions < 0 {
		errs = append(errs, bad("max_sessions", "is negative"))
	}
	switch c.TellOnExpiry {
	case TellAll, TellCoordinating, TellNone:
	default:
		errs = append(errs, bad("tell_on_expiry", "is none of %s, %s, %s", TellAll, TellCoordinating, TellNone))
	}
	if c.RenewEvery >= c.IdleTimeout && c.IdleTimeout > 0 && c.RenewEvery > 0 {
		errs = append(errs, bad("renew_every", "is not shorter than idle_timeout: a session in use would end"))
	}
	return errors.Join(errs...)
}
