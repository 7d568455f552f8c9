package hostadapter

// The configuration of an Adapter, in groups, and its defaults.

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/logout"
)

// Defaults of Config.
const (
	DefaultIdleTimeout = 10 * time.Hour
	DefaultRenewEvery  = time.Minute
	DefaultSweepEvery  = time.Minute
	DefaultSweepBatch  = 200
	// DefaultFrontChannelWait is how long a browser waits at most for the frames of a sign-out.
	DefaultFrontChannelWait = 5 * time.Second
	// DefaultCookieName is the name of the cookie for an http issuer. For an https issuer it is prefixed with
	// "__Host-", unless the cookie has a Domain; for an issuer with a path a hash of the path is appended.
	DefaultCookieName = "fosite_session"
	// MinKey is the minimum length of a sealing key in bytes.
	MinKey = 32
)

// Config configures an Adapter. Backend, Issuer, Keys, Signer and Clients are required. The zero value of
// every other field, and of every group, is right for most servers. New validates all fields and names every
// invalid one.
type Config struct {
	// Backend stores the sessions. The caller closes it, after the Adapter. A backend that a swap has
	// replaced is closed by the Adapter, so its Close must be idempotent. It may be nil if Swap.Backends
	// contains Swap.BackendName.
	Backend sessions.Backend
	// Pins, if set, record across restarts which stores may serve: a start with a different store, or none,
	// is refused with ticketstore.ErrOtherStore.
	Pins Pins

	// Issuer is the server's issuer identifier, an http or https URL. Its scheme decides whether the cookie
	// is Secure.
	Issuer string
	// FormerIssuers are identifiers that the server had before it was renamed to Issuer. A store records its
	// issuer and refuses a host with any other (ErrOtherIssuer). A session of a former issuer is neither
	// accepted nor renewed, and the next sign-in over its cookie ends it. Until then its refresh tokens stay
	// valid, and their ID tokens and its logout tokens keep its issuer (rule 13). The default cookie name
	// depends on the scheme: over the cookie of a former issuer with another scheme a sign-in ends nothing.
	FormerIssuers []string

	// Keys are the secrets from which the sealing keys are derived, each at least MinKey bytes. The first
	// seals; all of them open. To rotate, prepend the new key and keep the old ones as long as records sealed
	// with them live.
	Keys [][]byte
	// UnboundUntil accepts, until that time, sessions and tokens of releases before this setting, which were
	// not sealed for everything they belong to: until then a malicious store, or a tampered backup, can give
	// one user's session to a different user. When upgrading a server with such sessions, set it to the end
	// of their lives or earlier. Sessions are sealed again when they are next used, tokens when they are
	// refreshed: those not used by then are lost, including offline refresh tokens. Zero: their users sign in
	// again.
	UnboundUntil time.Time
	// KeysLost accepts a store that none of Keys opens, which is otherwise refused (ErrKeysLost). Its
	// sessions and tokens become invalid: users sign in again, which ends their old sessions. It does not
	// affect a store that the keys open. It is refused for a store that other hosts may use
	// (ticketstore.Description.Shared), because their keys may open it. Remove it after the start: it would
	// also accept the next wrong key.
	KeysLost bool

	// Signer signs logout tokens with the key of the ID tokens. See NewSigner.
	Signer logout.Signer
	// Clients looks up the clients to notify.
	Clients logout.ClientSource
	// Hints verifies id_token_hint at the end-session endpoint. If nil, hints are ignored and the user
	// confirms every sign-out.
	Hints IDTokenHints

	// UserActive reports whether a user may still be signed in: false for a user who was deleted or blocked.
	// It is called at each use of a session or token at the server: by a browser, and at the token,
	// introspection and userinfo endpoints, also for tokens without a session; not for those of the client
	// credentials grant. If it returns false all sessions, tokens and consents of the user end, as in a
	// removal by subject. An error fails the request like an unavailable store. It should answer from memory.
	// If nil, all users are active; to end sessions immediately, call RemoveSessions. SignIn does not call
	// it: check the user before.
	UserActive func(ctx context.Context, subjectID string) (bool, error)

	// VisibleProperties names the Identity.Properties that operators see with a session, through the admin
	// routes and SessionProperties. They are stored a second time, sealed for the session; names and values
	// are limited to 3 KiB. A session shows the properties that were named when its user signed in and still
	// are.
	VisibleProperties []string

	Cookie   CookieConfig
	Lifetime LifetimeConfig
	Logout   LogoutConfig
	Expiry   ExpiryConfig
	Swap     SwapConfig
	// Telemetry configures traces and metrics; there are none by default.
	Telemetry TelemetryConfig

	// RemoteAddr returns the client address of a request; by default the host in r.RemoteAddr. A host behind
	// a proxy must set it: otherwise all requests have the address of the proxy, and package admin throttles
	// guesses by address.
	RemoteAddr func(r *http.Request) string
	// Events receive session events. NewEventLog returns a subscriber that writes a log.
	Events []Subscriber
	// Now is the clock, time.Now by default.
	Now func() time.Time
	// Logger is slog.Default() by default.
	Logger *slog.Logger

	// formerCookies are names under which browsers may still hold a cookie.
	formerCookies []string
}

// CookieConfig configures the session cookie. It is always HttpOnly, on path "/", and Secure if the issuer is
// https.
type CookieConfig struct {
	// Name replaces the default name, and is used without changes. Unlike the default it is the same for
	// every path of the issuer. Cookies are shared between ports: servers on one host need distinct names.
	Name string
	// Domain lets sibling hosts of the server receive the cookie. It cannot be combined with a name that
	// begins with "__Host-". With an https issuer, setting or removing it changes the default name: users
	// have to sign in again.
	Domain string
	// SameSite is http.SameSiteLaxMode if zero. With Strict, users who come from another site appear signed
	// out; None requires https.
	SameSite http.SameSite
	// Persistent keeps the cookie when the browser is closed, until the session's absolute expiry, or for 400
	// days if it has none. The cookie is written at sign-in only.
	Persistent bool
}

// LifetimeConfig configures how long sessions live, and how many a subject may have.
type LifetimeConfig struct {
	// IdleTimeout is how long a session lives without being used. DefaultIdleTimeout if zero.
	IdleTimeout time.Duration
	// AbsoluteTimeout is the maximum lifetime of a session after a sign-in, however much it is used. Zero
	// means no limit.
	AbsoluteTimeout time.Duration
	// RenewEvery is the minimum interval between renewals of a session, each of which is a write. If zero, it
	// is DefaultRenewEvery, or half of IdleTimeout if that is less.
	RenewEvery time.Duration
	// CoordinateClients extends sessions while their clients refresh tokens, introspect tokens or request
	// userinfo, and ends their offline refresh tokens with the session. A client's own setting
	// (logout.Client.Coordinate) takes precedence.
	CoordinateClients bool
	// MaxSessions limits the live sessions of one subject. 0: no limit. A sign-in above it ends the oldest
	// sessions or, with RefuseSignIn, fails with ticketstore.ErrTooManySessions.
	MaxSessions  int
	RefuseSignIn bool
}

// LogoutConfig configures sign-out and the notification of clients.
type LogoutConfig struct {
	// Page renders the pages of the end-session endpoint in the host's design and in the user's language. If
	// nil, plain English pages are shown.
	Page func(w http.ResponseWriter, r *http.Request, page *LogoutPage)
	// MatchHint reports whether a logout_hint refers to the user of the session. If it returns false, the
	// user must confirm the sign-out. If nil, the parameter is ignored: its meaning is up to client and host
	// (RP-Initiated Logout 1.0, section 2).
	MatchHint func(hint string, session *Session) bool
	// DeliveryWait is how long the end-session endpoint waits for the clients to accept or refuse their
	// logout tokens before it answers. Zero: it does not wait.
	DeliveryWait time.Duration
	// FrontChannelWait is how long the browser waits at most for the frames in which clients clear their
	// cookies. DefaultFrontChannelWait if zero.
	FrontChannelWait time.Duration
	// RevokeOffline ends refresh tokens with offline access along with the session. By default they outlive a
	// sign-out (Back-Channel Logout 1.0, section 2.7); a removal ends them in any case.
	RevokeOffline bool

	// TellReason puts the reason of the end into logout tokens: the claim logout_reason, one of user_logout,
	// session_expiration, terminated, session_replaced. Back-Channel Logout 1.0 does not define this claim;
	// section 2.4 allows additional claims.
	TellReason bool
	// DeliveryTLS configures connections to clients: RootCAs for a private certificate authority,
	// Certificates for clients that request a client certificate. InsecureSkipVerify is refused. It is
	// cloned.
	DeliveryTLS *tls.Config
	// DeliveryProxy returns the http or https proxy for a delivery, or nil for none; for example
	// http.ProxyFromEnvironment. If nil, no proxy is used. Clients' host names are still resolved and their
	// addresses checked here: the proxy is asked to connect (CONNECT) to an address. The address of the proxy
	// itself is not checked.
	DeliveryProxy func(*http.Request) (*url.URL, error)
	// AllowCIDRs are private, loopback and link-local networks to which logout tokens may be sent.
	AllowCIDRs []netip.Prefix
	// DeliveryTimeout bounds one delivery, DeliveryConcurrency all deliveries in flight, and
	// DeliveriesPerClient those to one client. Their defaults are those of logout.DispatcherConfig.
	DeliveryTimeout     time.Duration
	DeliveryConcurrency int
	DeliveriesPerClient int
}

// ExpiryConfig configures how expired sessions are ended and due records are purged.
type ExpiryConfig struct {
	// Off leaves both to another host of the same backend: at least one host must do it, or expired sessions
	// stay in the listings of operators and users. They are refused in either case.
	Off bool
	// SweepEvery is how often due records are purged, and the store is checked although no session is known
	// to be due. DefaultSweepEvery if zero. A session that falls due is ended within a second regardless,
	// including sessions of other hosts that share the store.
	SweepEvery time.Duration
	// SweepBatch is the number of sessions ended by one call of the store. DefaultSweepBatch if zero.
	SweepBatch int
	// Notify selects the clients that are notified of an expired session. AllClients if empty.
	Notify Recipients
	// RevokeOffline ends refresh tokens with offline access along with the session. By default they outlive
	// its expiry (Back-Channel Logout 1.0, section 2.7).
	RevokeOffline bool
}

// Recipients selects the clients of a session that are notified of its end.
type Recipients string

// The recipients.
const (
	AllClients          Recipients = "all"
	CoordinatingClients Recipients = "coordinating" // those whose activity keeps the session alive
	NoClients           Recipients = "none"
)

// SwapConfig lists the backends that may replace the serving backend at run time (Operations.Swap). Its zero
// value means that there are none.
type SwapConfig struct {
	// Backends maps names to functions that open a backend. The Adapter closes what they open.
	Backends map[string]func(ctx context.Context) (sessions.Backend, error)
	// BackendName is the name of Config.Backend, which need not be among Backends. Required with Backends.
	//
	// A swap outlives the host: the replaced store records the name of its successor, so that a host that
	// starts with the old store in its configuration serves the new one. Both stores therefore need names
	// that stay the same across restarts, whatever the path or address behind them. Each store on the way to
	// the newest is opened at the start: after several swaps, name the newest here.
	BackendName string
}

func (c *Config) setDefaults() {
	l := &c.Lifetime
	l.IdleTimeout = cmp.Or(l.IdleTimeout, DefaultIdleTimeout)
	l.RenewEvery = cmp.Or(l.RenewEvery, min(DefaultRenewEvery, l.IdleTimeout/2))
	c.Logout.FrontChannelWait = cmp.Or(c.Logout.FrontChannelWait, DefaultFrontChannelWait)
	c.Expiry.SweepEvery = cmp.Or(c.Expiry.SweepEvery, DefaultSweepEvery)
	c.Expiry.SweepBatch = cmp.Or(c.Expiry.SweepBatch, DefaultSweepBatch)
	c.Expiry.Notify = cmp.Or(c.Expiry.Notify, AllClients)
	c.Cookie.SameSite = cmp.Or(c.Cookie.SameSite, http.SameSiteLaxMode)
	if c.Cookie.Name == "" {
		c.Cookie.Name = c.cookieName(c.Issuer)
		// Former names: those of former issuers, and of releases that did not derive the name from the path.
		for _, issuer := range append([]string{c.Issuer}, c.FormerIssuers...) {
			c.formerCookies = append(c.formerCookies, c.cookieName(issuer), c.cookieName(""))
		}
		slices.Sort(c.formerCookies)
		c.formerCookies = slices.DeleteFunc(slices.Compact(c.formerCookies),
			func(name string) bool { return name == c.Cookie.Name })
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

// cookieName returns the default name of the cookie. Issuers on one host that differ by their path get
// distinct names.
func (c *Config) cookieName(issuer string) string {
	name := DefaultCookieName
	if c.secure() && c.Cookie.Domain == "" {
		name = hostPrefix + name
	}
	if u, err := url.Parse(issuer); err == nil && strings.Trim(u.Path, "/") != "" {
		sum := sha256.Sum256([]byte(strings.Trim(u.EscapedPath(), "/")))
		name += "_" + hex.EncodeToString(sum[:4])
	}
	return name
}

func (c *Config) secure() bool { return strings.HasPrefix(strings.ToLower(c.Issuer), "https://") }

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
