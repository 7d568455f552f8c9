package logout_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/fosite-sessions/sessions/logout"
)

func TestReasonInTheLogoutToken(t *testing.T) {
	t.Parallel()
	for _, tell := range []bool{false, true} {
		rp := newRelyingParty(t, status(http.StatusOK))
		n := due("n", "rp")
		n.Reason = logout.Terminated
		q := newQueue(n)
		start(t, q, logout.ClientMap{"rp": rp.client("rp")},
			func(c *logout.DispatcherConfig) { c.TellReason = tell })
		q.waitState(t, "n", logout.Delivered)
		want := ""
		if tell {
			want = "terminated"
		}
		if got := rp.received()[0].Reason; got != want {
			t.Errorf("logout_reason %q with TellReason %t, want %q", got, tell, want)
		}
	}
}

// proxy is a forward proxy that supports CONNECT. It records its requests.
type proxy struct {
	*httptest.Server
	mu          sync.Mutex
	asked       []string
	credentials string
	status      int
}

func newProxy(t *testing.T, secure bool) *proxy {
	t.Helper()
	p := &proxy{status: http.StatusOK}
	p.Server = httptest.NewUnstartedServer(p)
	if secure {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.credentials = r.Header.Get("Proxy-Authorization")
	p.mu.Unlock()
	if p.status != http.StatusOK {
		w.WriteHeader(p.status)
		return
	}
	target, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer target.Close()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(target, conn); _ = target.Close() }()
	_, _ = io.Copy(conn, target)
}

func (p *proxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// use routes deliveries through the proxy.
func (p *proxy) use(t *testing.T) func(*logout.DispatcherConfig) {
	t.Helper()
	address, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword("op", "secret")
	return func(c *logout.DispatcherConfig) { c.Proxy = http.ProxyURL(address) }
}

// onlyIPv6Loopback allows no address that these tests listen on.
func onlyIPv6Loopback(c *logout.DispatcherConfig) {
	c.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("::1/128")}
}

// The host resolves the name: the proxy is given an address that the guard allowed.
func TestDeliveryThroughAProxy(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		rp, p := newRelyingParty(t, status(http.StatusOK)), newProxy(t, secure)
		client := rp.client("rp")
		client.BackChannelLogoutURI = strings.Replace(client.BackChannelLogoutURI, "127.0.0.1",
			"localhost", 1)
		q := newQueue(due("n", "rp"))
		start(t, q, logout.ClientMap{"rp": client}, p.use(t), func(c *logout.DispatcherConfig) {
			if secure {
				c.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
				c.TLS.RootCAs.AddCert(p.Certificate())
			}
		})
		q.waitState(t, "n", logout.Delivered)
		want := "CONNECT " + rp.Listener.Addr().String()
		if got := p.requests(); len(got) != 1 || got[0] != want {
			t.Errorf("the proxy got requests %q, want only %q", got, want)
		}
		if p.credentials != "Basic b3A6c2VjcmV0" {
			t.Errorf("the proxy got the credentials %q", p.credentials)
		}
	}
}

func TestGuardHoldsWithAProxy(t *testing.T) {
	t.Parallel()
	rp, p := newRelyingParty(t, status(http.StatusOK)), newProxy(t, false)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		client := rp.client("rp")
		client.BackChannelLogoutURI = strings.Replace(client.BackChannelLogoutURI, "127.0.0.1", host, 1)
		q := newQueue(due("n", "rp"))
		start(t, q, logout.ClientMap{"rp": client}, once, p.use(t),
			func(c *logout.DispatcherConfig) {
				c.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			})
		if n := q.waitAttempts(t, "n", 1); !strings.Contains(n.LastError, "not public") {
			t.Errorf("%s: state %s, last error %q; want the address as the reason", host, n.State,
				n.LastError)
		}
	}
	if got := append(p.requests(), make([]string, len(rp.received()))...); len(got) != 0 {
		t.Errorf("the proxy or the client got requests: %q", got)
	}
}

// The address of the proxy itself is the host's choice. It may refuse, and its password is in no message.
func TestProxyThatRefuses(t *testing.T) {
	t.Parallel()
	p := newProxy(t, false)
	p.status = http.StatusProxyAuthRequired
	q := newQueue(due("n", "rp"))
	start(t, q, logout.ClientMap{"rp": {BackChannelLogoutURI: "https://[::1]:1/logout"}}, once, p.use(t),
		onlyIPv6Loopback)
	n := q.waitAttempts(t, "n", 1)
	if !strings.Contains(n.LastError, "the proxy answered 407") || strings.Contains(n.LastError, "secret") {
		t.Errorf("last error %q, want the proxy's answer", n.LastError)
	}
}

// The host configures a private certificate authority and a client certificate. The guard applies too.
func TestPrivateAuthorityAndClientCertificate(t *testing.T) {
	t.Parallel()
	var subjects sync.Map
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		subjects.Store(len(r.TLS.PeerCertificates), true)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	settings := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	settings.RootCAs.AddCert(server.Certificate())
	clients := logout.ClientMap{"rp": {BackChannelLogoutURI: server.URL}}

	q := newQueue(due("n", "rp"))
	start(t, q, clients, once, func(c *logout.DispatcherConfig) { c.TLS = settings })
	if n := q.waitAttempts(t, "n", 1); n.State != logout.Pending {
		t.Errorf("without a certificate: %s, want pending", n.State)
	}
	settings.Certificates = server.TLS.Certificates
	q = newQueue(due("n", "rp"))
	start(t, q, clients, func(c *logout.DispatcherConfig) { c.TLS = settings })
	q.waitState(t, "n", logout.Delivered)
	if _, shown := subjects.Load(1); !shown {
		t.Error("the client was shown no certificate")
	}
	q = newQueue(due("n", "rp"))
	start(t, q, clients, once, onlyIPv6Loopback, func(c *logout.DispatcherConfig) { c.TLS = settings })
	if n := q.waitAttempts(t, "n", 1); !strings.Contains(n.LastError, "not public") {
		t.Errorf("the guard allowed it: %s, %q", n.State, n.LastError)
	}
}
