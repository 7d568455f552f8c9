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
	// DefaultFrontChannelWait is how long a browser stays with the frames of a sign-out at most.
	DefaultFrontChannelWait = 5 * time.Second
	// DefaultCookieName is the cookie's name below an http issuer; below an https one it has the prefix
	// "__Host-", unless the cookie has a Domain, and below an issuer with a path it ends with a part of its
	// own.
	DefaultCookieName = "fosite_session"
	// MinKey is the least length of a sealing key in bytes.
	MinKey = 32
)

// Config says how an Adapter works. Backend, Issuer, Keys, Signer and Clients are required. The zero value of
// every other field, and of every group, is right for most servers. New checks all of it and names every
// wrong field.
type Config struct {
	// Backend is where sessions are kept. It stays the caller's to close, after the Adapter; one that a swap
	// has replaced is closed then, and its Close must allow another call. It may be nil where
	// Swap.Backends has Swap.BackendName.
	Backend sessions.Backend
	// Pins, if set, keep which stores may serve across restarts: a start over another store, or none, is
	// refused as ticketstore.ErrOtherStore.
	Pins Pins

	// Issuer is the server's issuer identifier, an http or https URL. Its scheme decides whether the cookie
	// is Secure.
	Issuer string
	// FormerIssuers are identifiers that the server had before it was renamed to Issuer. A store remembers
	// its issuer and refuses a host of any other (ErrOtherIssuer). A session of a former issuer is not
	// accepted and not renewed, and the next sign-in over its cookie ends it. Until then its refresh tokens
	// stay valid, and their ID tokens and its logout tokens keep its issuer (rule 13).
	FormerIssuers []string

	// Keys are the secrets from which the sealing keys are derived, each at least MinKey bytes. The first
	// seals, every one opens: to rotate, put the new one first and keep the old ones for as long as records
	// sealed with them live.
	Keys [][]byte
	// UnboundUntil lets sessions and tokens of a release before this setting pass until that moment. They
	// were not sealed for all that they belong to: until then a lying store, or a backup that was changed,
	// can give one user's session to another. Set it when upgrading a server that has such sessions, to the
	// end of their lives or earlier. Sessions are sealed again when they are next used, tokens when they are
	// refreshed: what is not used by then is lost, also offline refresh tokens. Zero: their users sign in
	// again.
	UnboundUntil time.Time
	// KeysLost accepts a store that none of Keys opens, which is refused otherwise (ErrKeysLost). Its
	// sessions and tokens become invalid: users sign in again, which ends their old sessions. A store that
	// the keys open is not changed by it. It is refused for a store that other hosts may use
	// (ticketstore.Description.Shared): their keys may open it. Remove it after the start: left set, it also
	// accepts the next wrong key.
	KeysLost bool

	// Signer signs logout tokens with the key of the ID tokens. See NewSigner.
	Signer logout.Signer
	// Clients finds the clients to notify.
	Clients logout.ClientSource
	// Hints verifies id_token_hint at the end-session endpoint. Without it hints are ignored and every
	// sign-out is confirmed.
	Hints IDTokenHints

	// UserActive reports whether the user may be signed in still: false for one who was removed or blocked.
	// It is asked at each use of a session or of a user's token by the server: by a browser, at the token,
	// introspection and userinfo endpoints. A no ends all sessions, tokens and consents of the user, as a
	// removal by subject does. An error fails the request as an unavailable store does. It should answer from
	// memory. Every user is active when it is nil; to end sessions at once, call RemoveSessions.
	UserActive func(ctx context.Context, subjectID string) (bool, error)

	// VisibleProperties names those of Identity.Properties that operators see with a session, by the admin
	// routes and SessionProperties. They are kept a second time, sealed for the session, names and values in
	// 3 KiB. A session shows those that were named when its user signed in and still are.
	VisibleProperties []string

	Cookie   CookieConfig
	Lifetime LifetimeConfig
	Logout   LogoutConfig
	Expiry   ExpiryConfig
	Swap     SwapConfig
	// Telemetry says where traces and metrics go: nowhere by default.
	Telemetry TelemetryConfig

	// RemoteAddr returns a request's address. By default it is the host in r.RemoteAddr. A host behind a
	// proxy must set it: otherwise all requests have the address of the proxy, and package admin throttles
	// guesses by address.
	RemoteAddr func(r *http.Request) string
	// Events receive what happens to sessions. NewEventLog returns one that writes a log.
	Events []Subscriber
	// Now is the clock, time.Now by default.
	Now func() time.Time
	// Logger is slog.Default() by default.
	Logger *slog.Logger

	// formerCookies are names under which browsers may still have a cookie.
	formerCookies []string
}

// CookieConfig shapes the session cookie. It is always HttpOnly, on path "/", and Secure when the issuer is
// https.
type CookieConfig struct {
	// Name replaces the default name, which has a part of its own for each path of an issuer, and is used as
	// it is. Ports share cookies: servers on one host need
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

// LifetimeConfig says how long sessions live, and how many a subject may have.
type LifetimeConfig struct {
	// IdleTimeout is how long a session lives without being used. DefaultIdleTimeout when zero.
	IdleTimeout time.Duration
	// AbsoluteTimeout is how long a session lives at most after a sign-in, however much it is used. Zero: no
	// limit.
	AbsoluteTimeout time.Duration
	// RenewEvery is the least time between two renewals of one session, each of which is a write.
	// DefaultRenewEvery when zero, or half of IdleTimeout where that is less.
	RenewEvery time.Duration
	// CoordinateClients extends sessions while their clients refresh, have tokens introspected or ask for
	// userinfo, and ends their offline refresh tokens with the session, unless a client has a setting of its
	// own (logout.Client.Coordinate).
	CoordinateClients bool
	// MaxSessions bounds the live sessions of one subject. 0: no limit. A sign-in above it ends the oldest
	// ones, or, with RefuseSignIn, fails with ticketstore.ErrTooManySessions.
	MaxSessions  int
	RefuseSignIn bool
}

// LogoutConfig says what happens when users sign out, and how clients are notified.
type LogoutConfig struct {
	// Page shows the pages of the end-session endpoint in the host's own look and in the user's language.
	// Plain English ones when nil.
	Page func(w http.ResponseWriter, r *http.Request, page *LogoutPage)
	// MatchHint reports whether a logout_hint means the user of the session. Where it says no the user is
	// asked before signing out. Without it the parameter is ignored: what is in it is between the client and
	// the host (RP-Initiated Logout 1.0, section 2).
	MatchHint func(hint string, session *Session) bool
	// DeliveryWait is how long the end-session endpoint waits, before it answers, until every client has
	// accepted its logout token or refused it. Zero: not at all.
	DeliveryWait time.Duration
	// FrontChannelWait is how long the browser stays at most with the frames in which clients clear their
	// cookies, before it goes on. DefaultFrontChannelWait when zero.
	FrontChannelWait time.Duration
	// RevokeOffline ends refresh tokens with offline access along with the session. By default they outlive a
	// sign-out (Back-Channel Logout 1.0, section 2.7); a removal ends them in any case.
	RevokeOffline bool

	// TellReason puts the reason of the end into logout tokens: the claim logout_reason, one of user_logout,
	// session_expiration, terminated, session_replaced. Back-Channel Logout 1.0 does not name such a claim;
	// section 2.4 lets tokens have others.
	TellReason bool
	// DeliveryTLS configures connections to clients: RootCAs for a private authority, Certificates for
	// clients that ask for one. InsecureSkipVerify is refused. It is cloned.
	DeliveryTLS *tls.Config
	// DeliveryProxy returns the http or https proxy for a delivery, or nil for none; for example
	// http.ProxyFromEnvironment. Deliveries use no proxy when it is nil. Clients' hosts are looked up and
	// their addresses checked here nevertheless: the proxy is asked to connect (CONNECT) to an address. That
	// of the proxy itself is not checked.
	DeliveryProxy func(*http.Request) (*url.URL, error)
	// AllowCIDRs are private, loopback and link-local networks to which logout tokens may be sent
	// nevertheless.
	AllowCIDRs []netip.Prefix
	// DeliveryTimeout bounds one delivery, DeliveryConcurrency all that are under way, and
	// DeliveriesPerClient those to one client. Their defaults are those of logout.DispatcherConfig.
	DeliveryTimeout     time.Duration
	DeliveryConcurrency int
	DeliveriesPerClient int
}

// ExpiryConfig says how sessions that are over are ended, and records whose time is up are purged.
type ExpiryConfig struct {
	// Off leaves both to another host of the same backend: one host must do it. A session that is over is not
	// served either way.
	Off bool
	// SweepEvery is how often records are purged, and the store is asked although no session is known to be
	// due. DefaultSweepEvery when zero. A session that falls due is ended within a second in any case; where
	// several hosts share a store, one of another host's too.
	SweepEvery time.Duration
	// SweepBatch is how many sessions end in one call of the store. DefaultSweepBatch when zero.
	SweepBatch int
	// Notify says which clients are notified of a session that expired. AllClients when empty.
	Notify Recipients
	// RevokeOffline ends refresh tokens with offline access along with the session. By default they outlive
	// its expiry (Back-Channel Logout 1.0, section 2.7).
	RevokeOffline bool
}

// Recipients are those of a session's clients that are notified of its end.
type Recipients string

// The recipients.
const (
	AllClients          Recipients = "all"
	CoordinatingClients Recipients = "coordinating" // those whose activity keeps the session alive
	NoClients           Recipients = "none"
)

// SwapConfig says which backends may replace the one that serves, while it serves (Operations.Swap). Its zero
// value means that there are none.
type SwapConfig struct {
	// Backends open them, by name. What they open the Adapter closes.
	Backends map[string]func(ctx context.Context) (sessions.Backend, error)
	// BackendName is the name of Config.Backend, which need not be among Backends. Required with Backends.
	//
	// A swap outlives the host: the store that was replaced keeps the name of its successor, so that a host
	// which starts with the old store in its configuration serves the new one. For that both stores need
	// names that stay the same across restarts, whatever the path or address behind them. Each store on the
	// way to the newest is opened at the start: after some swaps, name the newest here.
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
		// Those of before: of other issuers, and of releases in which the path had no part in the name.
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

// cookieName returns the default name of the cookie. Issuers on one host, which differ by their path, have
// names of their own.
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
