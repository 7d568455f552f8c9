package hostadapter_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// Config.Logout's settings reach deliveries: the reason, the certificate authority and the proxy.
func TestSettingsOfDeliveries(t *testing.T) {
	t.Parallel()
	reasons, proxied := make(chan any, 1), make(chan string, 1)
	rp := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var claims map[string]any
		if err := json.Unmarshal([]byte(r.PostFormValue("logout_token")), &claims); err != nil {
			t.Errorf("logout token: %v", err)
		}
		reasons <- claims["logout_reason"]
	}))
	t.Cleanup(rp.Close)
	roots := x509.NewCertPool()
	roots.AddCert(rp.Certificate())
	h := newHost(t, func(c *hostadapter.Config) {
		c.Clients = logout.ClientMap{"app": {BackChannelLogoutURI: rp.URL}}
		c.Logout.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.Logout.TellReason = true
		c.Logout.DeliveryTLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		c.Logout.DeliveryProxy = func(r *http.Request) (*url.URL, error) {
			proxied <- r.URL.String()
			return nil, nil
		}
	})
	session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	h.use(session.SessionID, "app")
	removal := hostadapter.SessionRemoval{SessionID: session.SessionID}
	if _, err := h.RemoveSessions(t.Context(), removal); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the client is notified", func() bool { return len(reasons) == 1 })
	if reason, asked := <-reasons, <-proxied; reason != "terminated" || asked != rp.URL {
		t.Errorf("logout_reason %v, proxy asked for %q; want terminated, %q", reason, asked, rp.URL)
	}
}
