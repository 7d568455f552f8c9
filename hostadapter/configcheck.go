package hostadapter

// Validation of the configuration. Each error names the field as it is written in Go.

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// prepare sets defaults and validates the whole configuration. Its error names every invalid field.
func (c *Config) prepare() error {
	c.setDefaults()
	return errors.Join(
		c.checkBackends(), c.checkRequired(), c.checkIssuers(), c.checkKeys(), c.checkVisible(),
		c.Cookie.check(c.secure()), c.Lifetime.check(),
		c.Logout.check(), c.Expiry.check(), c.Telemetry.check(),
	)
}

// invalidf returns an error for a field named as in Go: "Config.Cookie.Name".
func invalidf(field, problem string, args ...any) error {
	return fmt.Errorf("hostadapter: %w", ticketstore.Invalidf("Config."+field, problem, args...))
}

// checkID is ticketstore.CheckID for a field of the configuration.
func checkID(field, id string) error {
	if err := ticketstore.CheckID("Config."+field, id); err != nil {
		return fmt.Errorf("hostadapter: %w", err)
	}
	return nil
}

func (c *Config) checkRequired() error {
	var errs []error
	if c.Signer == nil {
		errs = append(errs,
			invalidf("Signer", "is not set: logout tokens need the key that signs ID tokens, see NewSigner"))
	}
	if c.Clients == nil {
		errs = append(errs,
			invalidf("Clients", "is not set: an empty logout.ClientMap means that no client is notified"))
	}
	return errors.Join(errs...)
}

func (c *Config) checkBackends() error {
	s := &c.Swap
	switch open, named := s.Backends[s.BackendName]; {
	case c.Backend == nil && len(s.Backends) == 0:
		return invalidf("Backend", "is not set")
	case len(s.Backends) > 0 && s.BackendName == "":
		return invalidf("Swap.BackendName", "is empty: say what the backend is called among Swap.Backends")
	case c.Backend == nil && (!named || open == nil):
		return invalidf("Swap.BackendName", "is none of Swap.Backends, and Backend is not set")
	}
	for name, open := range s.Backends {
		if err := checkID("Swap.Backends", name); err != nil {
			return err
		}
		if open == nil {
			return invalidf("Swap.Backends", "%q has no function", name)
		}
	}
	return nil
}

func (c *Config) checkIssuers() error {
	errs := []error{checkIssuer("Issuer", c.Issuer)}
	for i, issuer := range c.FormerIssuers {
		field := fmt.Sprintf("FormerIssuers[%d]", i)
		errs = append(errs, checkIssuer(field, issuer))
		if issuer == c.Issuer {
			errs = append(errs, invalidf(field, "is the issuer itself"))
		}
	}
	return errors.Join(errs...)
}

func checkIssuer(field, issuer string) error {
	if err := checkID(field, issuer); err != nil {
		return err
	}
	u, err := url.Parse(issuer)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return invalidf(field, "is not an http or https URL")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#") || u.User != nil:
		// OpenID Connect Discovery 1.0, section 3.
		return invalidf(field, "has a query, a fragment or a user")
	}
	return nil
}

func (c *Config) checkKeys() error {
	if len(c.Keys) == 0 {
		return invalidf("Keys", "is empty: at least one secret of %d bytes is needed", MinKey)
	}
	var errs []error
	for i, key := range c.Keys {
		if len(key) < MinKey {
			errs = append(errs, invalidf(fmt.Sprintf("Keys[%d]", i), "is shorter than %d bytes", MinKey))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) checkVisible() error {
	var errs []error
	for i, name := range c.VisibleProperties {
		errs = append(errs, checkID(fmt.Sprintf("VisibleProperties[%d]", i), name))
	}
	return errors.Join(errs...)
}

func (c *CookieConfig) check(secure bool) error {
	var errs []error
	hostOnly, secureOnly := hasPrefixFold(c.Name, hostPrefix), hasPrefixFold(c.Name, securePrefix)
	switch {
	case (&http.Cookie{Name: c.Name, Value: "v"}).Valid() != nil: //nolint:gosec // it is not sent
		errs = append(errs, invalidf("Cookie.Name", "is not a cookie name (RFC 6265, section 4.1.1)"))
	case (hostOnly || secureOnly) && !secure:
		errs = append(errs, invalidf("Cookie.Name", "has a prefix that needs an https issuer"))
	case hostOnly && c.Domain != "":
		errs = append(errs, invalidf("Cookie.Domain", "does not go with a name that begins with __Host-"))
	}
	withDomain := &http.Cookie{Name: "n", Value: "v", Domain: c.Domain} //nolint:gosec // it is not sent
	if c.Domain != "" && withDomain.Valid() != nil {
		errs = append(errs, invalidf("Cookie.Domain", "is not a domain"))
	}
	switch c.SameSite {
	case http.SameSiteLaxMode, http.SameSiteStrictMode:
	case http.SameSiteNoneMode:
		if !secure {
			errs = append(errs, invalidf("Cookie.SameSite", "None needs an https issuer"))
		}
	default:
		errs = append(errs, invalidf("Cookie.SameSite", "is none of Lax, Strict and None"))
	}
	return errors.Join(errs...)
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func (c *LifetimeConfig) check() error {
	errs := []error{
		lifetime("Lifetime.IdleTimeout", c.IdleTimeout),
		lifetime("Lifetime.AbsoluteTimeout", c.AbsoluteTimeout),
		notNegative("Lifetime.RenewEvery", c.RenewEvery), notNegative("Lifetime.MaxSessions", c.MaxSessions),
	}
	if c.RenewEvery >= c.IdleTimeout && c.IdleTimeout > 0 && c.RenewEvery > 0 {
		errs = append(errs,
			invalidf("Lifetime.RenewEvery", "is not shorter than IdleTimeout: a session in use would end"))
	}
	return errors.Join(errs...)
}

func (c *LogoutConfig) check() error {
	errs := []error{
		notNegative("Logout.DeliveryWait", c.DeliveryWait),
		notNegative("Logout.FrontChannelWait", c.FrontChannelWait),
		notNegative("Logout.DeliveryTimeout", c.DeliveryTimeout),
		bounded("Logout.DeliveryConcurrency", c.DeliveryConcurrency),
		bounded("Logout.DeliveriesPerClient", c.DeliveriesPerClient),
	}
	if c.DeliveryTLS != nil && c.DeliveryTLS.InsecureSkipVerify {
		errs = append(errs, invalidf("Logout.DeliveryTLS", "has InsecureSkipVerify: logout tokens would "+
			"go to anybody; put the authority of the clients into RootCAs"))
	}
	for i, network := range c.AllowCIDRs {
		if !network.IsValid() {
			errs = append(errs, invalidf(fmt.Sprintf("Logout.AllowCIDRs[%d]", i), "is not a network"))
		}
	}
	return errors.Join(errs...)
}

func (c *ExpiryConfig) check() error {
	errs := []error{
		notNegative("Expiry.SweepEvery", c.SweepEvery), bounded("Expiry.SweepBatch", c.SweepBatch),
	}
	switch c.Notify {
	case AllClients, CoordinatingClients, NoClients:
	default:
		errs = append(errs,
			invalidf("Expiry.Notify", "is none of %s, %s, %s", AllClients, CoordinatingClients, NoClients))
	}
	return errors.Join(errs...)
}

// lifetime checks a lifetime of sessions. Stores hold times up to the year 2262.
func lifetime(field string, value time.Duration) error {
	if value > 100*365*24*time.Hour {
		return invalidf(field, "is longer than 100 years")
	}
	return notNegative(field, value)
}

func notNegative[N int | time.Duration](field string, value N) error {
	if value < 0 {
		return invalidf(field, "is negative")
	}
	return nil
}

// bounded checks a count that stores, or the dispatcher, limit. Zero means the default.
func bounded(field string, value int) error {
	if value < 0 || value > ticketstore.MaxCount {
		return invalidf(field, "is outside 1 to %d", ticketstore.MaxCount)
	}
	return nil
}
