package hostadapter_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestBadConfig(t *testing.T) {
	t.Parallel()
	good := newHost(t).config
	tests := []struct {
		field  string
		change func(*hostadapter.Config)
	}{
		{"Backend", func(c *hostadapter.Config) { c.Backend = nil }},
		{"Signer", func(c *hostadapter.Config) { c.Signer = nil }},
		{"Clients", func(c *hostadapter.Config) { c.Clients = nil }},
		{"Issuer", func(c *hostadapter.Config) { c.Issuer = "" }},
		{"Issuer", func(c *hostadapter.Config) { c.Issuer = "op.example" }},
		{"Issuer", func(c *hostadapter.Config) { c.Issuer = "ftp://op.example" }},
		{"Issuer", func(c *hostadapter.Config) { c.Issuer = "https://" }},
		{"Issuer", func(c *hostadapter.Config) { c.Issuer = "https://op.example/?a=b" }},
		{"Issuer", func(c *hostadapter.Config) { c.Issuer = "https://op.example/#a" }},
		{"Keys", func(c *hostadapter.Config) { c.Keys = nil }},
		{"Keys[1]", func(c *hostadapter.Config) {
			c.Keys = [][]byte{bytes.Repeat([]byte("k"), 32), []byte("short")}
		}},
		{"Cookie.Name", func(c *hostadapter.Config) { c.Cookie.Name = "a b" }},
		{"Cookie.Name", func(c *hostadapter.Config) {
			c.Cookie.Name, c.Issuer = "__Host-s", "http://op.example"
		}},
		{"Cookie.Name", func(c *hostadapter.Config) {
			c.Cookie.Name, c.Issuer = "__secure-s", "http://op.example"
		}},
		{"Cookie.Domain", func(c *hostadapter.Config) {
			c.Cookie.Name, c.Cookie.Domain = "__Host-s", "example.com"
		}},
		{"Cookie.Domain", func(c *hostadapter.Config) { c.Cookie.Domain = "exa mple" }},
		{"Cookie.SameSite", func(c *hostadapter.Config) { c.Cookie.SameSite = http.SameSiteDefaultMode }},
		{"Cookie.SameSite", func(c *hostadapter.Config) {
			c.Cookie.SameSite, c.Issuer = http.SameSiteNoneMode, "http://op.example"
		}},
		{"Lifetime.IdleTimeout", func(c *hostadapter.Config) { c.Lifetime.IdleTimeout = -1 }},
		{"Lifetime.IdleTimeout", func(c *hostadapter.Config) { c.Lifetime.IdleTimeout = 1e6 * time.Hour }},
		{"Lifetime.AbsoluteTimeout", func(c *hostadapter.Config) { c.Lifetime.AbsoluteTimeout = -1 }},
		{"Lifetime.AbsoluteTimeout", func(c *hostadapter.Config) {
			c.Lifetime.AbsoluteTimeout = 1e6 * time.Hour
		}},
		{"Lifetime.RenewEvery", func(c *hostadapter.Config) {
			c.Lifetime.RenewEvery = time.Hour
			c.Lifetime.IdleTimeout = time.Hour
		}},
		{"Expiry.SweepBatch", func(c *hostadapter.Config) { c.Expiry.SweepBatch = 1001 }},
		{"Lifetime.MaxSessions", func(c *hostadapter.Config) { c.Lifetime.MaxSessions = -1 }},
		{"Expiry.Notify", func(c *hostadapter.Config) { c.Expiry.Notify = "some" }},
		{"Logout.DeliveryWait", func(c *hostadapter.Config) { c.Logout.DeliveryWait = -1 }},
		{"Logout.FrontChannelWait", func(c *hostadapter.Config) { c.Logout.FrontChannelWait = -1 }},
		{"Expiry.SweepEvery", func(c *hostadapter.Config) { c.Expiry.SweepEvery = -1 }},
		{"Logout.DeliveryTimeout", func(c *hostadapter.Config) { c.Logout.DeliveryTimeout = -1 }},
		{"Logout.DeliveryConcurrency", func(c *hostadapter.Config) { c.Logout.DeliveryConcurrency = -1 }},
		{"Logout.DeliveryTLS", func(c *hostadapter.Config) {
			c.Logout.DeliveryTLS = &tls.Config{InsecureSkipVerify: true}
		}},
		{"Logout.AllowCIDRs[0]", func(c *hostadapter.Config) { c.Logout.AllowCIDRs = []netip.Prefix{{}} }},
	}
	for _, test := range tests {
		config := good
		test.change(&config)
		adapter, err := hostadapter.New(t.Context(), config)
		if err == nil {
			_ = adapter.Close()
		}
		if !errors.Is(err, ticketstore.ErrInvalid) ||
			!strings.Contains(err.Error(), "invalid Config."+test.field+":") {
			t.Errorf("error %v, want an invalid %s", err, test.field)
		}
	}
}

func TestBadConfigNamesEveryField(t *testing.T) {
	t.Parallel()
	_, err := hostadapter.New(t.Context(),
		hostadapter.Config{
			Cookie:   hostadapter.CookieConfig{Name: ";"},
			Lifetime: hostadapter.LifetimeConfig{IdleTimeout: -1},
		})
	for _, field := range []string{
		"Backend", "Signer", "Clients", "Issuer", "Keys", "Cookie.Name", "Lifetime.IdleTimeout",
	} {
		if err == nil || !strings.Contains(err.Error(), "invalid Config."+field+":") {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
}

func TestCookie(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*hostadapter.Config)
		want   string // the Set-Cookie line, with X for the secret
	}{
		{
			"https", func(*hostadapter.Config) {},
			"__Host-fosite_session=X; Path=/; HttpOnly; Secure; SameSite=Lax",
		},
		{"http", func(c *hostadapter.Config) {
			c.Issuer = "http://localhost:9000"
		}, "fosite_session=X; Path=/; HttpOnly; SameSite=Lax"},
		{"domain", func(c *hostadapter.Config) { c.Cookie.Domain = "op.example" },
			"fosite_session=X; Path=/; Domain=op.example; HttpOnly; Secure; SameSite=Lax"},
		{"name, strict and persistent", func(c *hostadapter.Config) {
			c.Cookie = hostadapter.CookieConfig{
				Name: "s", SameSite: http.SameSiteStrictMode, Persistent: true,
			}
			c.Lifetime.IdleTimeout = time.Hour
		}, "s=X; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Strict"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, test.change)
			b := h.browser()
			response := b.visit(func(w http.ResponseWriter, r *http.Request) {
				if _, err := h.SignIn(w, r, hostadapter.Identity{Subject: "ann"}); err != nil {
					t.Errorf("SignIn: %v", err)
				}
			})
			line := response.Header.Get("Set-Cookie")
			secret := response.Cookies()[0].Value
			if len(secret) != 43 {
				t.Errorf("secret has %d characters, want 256 bits in base64url: 43", len(secret))
			}
			if got := strings.Replace(line, secret, "X", 1); got != test.want {
				t.Errorf("cookie\n%s\nwant\n%s", got, test.want)
			}
			if strings.Contains(h.log.String(), secret) {
				t.Error("the cookie's secret is in the log")
			}
			b.mustBe("ann")
		})
	}
}
