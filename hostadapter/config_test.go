package hostadapter_test

import (
	"bytes"
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
		{"backend", func(c *hostadapter.Config) { c.Backend = nil }},
		{"signer", func(c *hostadapter.Config) { c.Signer = nil }},
		{"clients", func(c *hostadapter.Config) { c.Clients = nil }},
		{"issuer", func(c *hostadapter.Config) { c.Issuer = "" }},
		{"issuer", func(c *hostadapter.Config) { c.Issuer = "op.example" }},
		{"issuer", func(c *hostadapter.Config) { c.Issuer = "ftp://op.example" }},
		{"issuer", func(c *hostadapter.Config) { c.Issuer = "https://" }},
		{"issuer", func(c *hostadapter.Config) { c.Issuer = "https://op.example/?a=b" }},
		{"issuer", func(c *hostadapter.Config) { c.Issuer = "https://op.example/#a" }},
		{"keys", func(c *hostadapter.Config) { c.Keys = nil }},
		{"keys[1]", func(c *hostadapter.Config) { c.Keys = [][]byte{bytes.Repeat([]byte("k"), 32), []byte("short")} }},
		{"cookie.name", func(c *hostadapter.Config) { c.Cookie.Name = "a b" }},
		{"cookie.name", func(c *hostadapter.Config) { c.Cookie.Name, c.Issuer = "__Host-s", "http://op.example" }},
		{"cookie.name", func(c *hostadapter.Config) { c.Cookie.Name, c.Issuer = "__secure-s", "http://op.example" }},
		{"cookie.domain", func(c *hostadapter.Config) { c.Cookie.Name, c.Cookie.Domain = "__Host-s", "example.com" }},
		{"cookie.domain", func(c *hostadapter.Config) { c.Cookie.Domain = "exa mple" }},
		{"cookie.same_site", func(c *hostadapter.Config) { c.Cookie.SameSite = http.SameSiteDefaultMode }},
		{"cookie.same_site", func(c *hostadapter.Config) {
			c.Cookie.SameSite, c.Issuer = http.SameSiteNoneMode, "http://op.example"
		}},
		{"idle_timeout", func(c *hostadapter.Config) { c.IdleTimeout = -1 }},
		{"absolute_timeout", func(c *hostadapter.Config) { c.AbsoluteTimeout = -1 }},
		{"renew_every", func(c *hostadapter.Config) { c.RenewEvery = time.Hour; c.IdleTimeout = time.Hour }},
		{"sweep_batch", func(c *hostadapter.Config) { c.SweepBatch = 1001 }},
		{"max_sessions", func(c *hostadapter.Config) { c.MaxSessions = -1 }},
		{"tell_on_expiry", func(c *hostadapter.Config) { c.TellOnExpiry = "some" }},
		{"wait_for_notices", func(c *hostadapter.Config) { c.WaitForNotices = -1 }},
		{"front_channel_wait", func(c *hostadapter.Config) { c.FrontChannelWait = -1 }},
		{"sweep_every", func(c *hostadapter.Config) { c.SweepEvery = -1 }},
		{"timeout", func(c *hostadapter.Config) { c.DeliveryTimeout = -1 }},
		{"concurrency", func(c *hostadapter.Config) { c.DeliveryConcurrency = -1 }},
		{"allow_cidrs[0]", func(c *hostadapter.Config) { c.AllowLogoutCIDRs = []netip.Prefix{{}} }},
	}
	for _, test := range tests {
		config := good
		test.change(&config)
		adapter, err := hostadapter.New(t.Context(), config)
		if err == nil {
			_ = adapter.Close()
		}
		if !errors.Is(err, ticketstore.ErrInvalid) || !strings.Contains(err.Error(), test.field+":") {
			t.Errorf("error %v, want an invalid %s", err, test.field)
		}
	}
}

func TestBadConfigNamesEveryField(t *testing.T) {
	t.Parallel()
	_, err := hostadapter.New(t.Context(), hostadapter.Config{Cookie: hostadapter.Cookie{Name: ";"}, IdleTimeout: -1})
	for _, field := range []string{"backend", "signer", "clients", "issuer", "keys", "cookie.name", "idle_timeout"} {
		if err == nil || !strings.Contains(err.Error(), "invalid "+field+":") {
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
		{"https", func(*hostadapter.Config) {}, "__Host-fosite_session=X; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"http", func(c *hostadapter.Config) { c.Issuer = "http://localhost:9000" }, "fosite_session=X; Path=/; HttpOnly; SameSite=Lax"},
		{"domain", func(c *hostadapter.Config) { c.Cookie.Domain = "op.example" },
			"fosite_session=X; Path=/; Domain=op.example; HttpOnly; Secure; SameSite=Lax"},
		{"name, strict and persistent", func(c *hostadapter.Config) {
			c.Cookie = hostadapter.Cookie{Name: "s", SameSite: http.SameSiteStrictMode, Persistent: true}
			c.IdleTimeout = time.Hour
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
