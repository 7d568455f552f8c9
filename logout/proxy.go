package logout

// Connections to clients, direct or through the host's proxy. The guard checks the addresses of both (rule
// 7).

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// proxyKey is the context key of the proxy that a delivery goes through, a *url.URL.
type proxyKey struct{}

// connector opens the connections of deliveries.
type connector struct {
	direct *net.Dialer
	guard  *guard
	config *DispatcherConfig
}

// DialContext connects to the address, through the context's proxy if it has one.
func (c *connector) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	proxy, _ := ctx.Value(proxyKey{}).(*url.URL)
	if proxy == nil {
		return c.direct.DialContext(ctx, network, address)
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	target, err := c.resolve(ctx, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	conn, err := c.tunnel(ctx, proxy, target)
	if err != nil {
		return nil, &net.OpError{Op: "proxyconnect", Net: network, Err: err}
	}
	return conn, nil
}

// resolve returns the first allowed address of a host. The proxy is given this address instead of the name,
// because it might resolve the name differently.
func (c *connector) resolve(ctx context.Context, address string) (target string, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	resolver := cmp.Or(c.direct.Resolver, net.DefaultResolver)
	found, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", err
	}
	var refused error
	for _, ip := range found {
		if err := c.guard.check(ip); err != nil {
			refused = cmp.Or(refused, err)
			continue
		}
		return net.JoinHostPort(ip.Unmap().WithZone("").String(), port), nil
	}
	return "", cmp.Or(refused, fmt.Errorf("%w: it has none", ErrAddress))
}

// tunnel opens a connection to the target through a proxy. The guard does not check the proxy's own address:
// the host configured it.
func (c *connector) tunnel(ctx context.Context, proxy *url.URL, target string) (net.Conn, error) {
	conn, err := c.dialProxy(ctx, proxy)
	if err != nil {
		return nil, err
	}
	if err := connect(ctx, conn, proxy.User, target); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *connector) dialProxy(ctx context.Context, proxy *url.URL) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: c.config.Timeout}
	switch proxy.Scheme {
	case "http":
		return dialer.DialContext(ctx, "tcp", net.JoinHostPort(proxy.Hostname(), cmp.Or(proxy.Port(), "80")))
	case "https":
		settings := &tls.Config{MinVersion: tls.VersionTLS12}
		if c.config.TLS != nil {
			settings = c.config.TLS.Clone()
		}
		// The client certificates are meant for clients, not for the proxy; the tunnel is HTTP/1.1.
		settings.NextProtos, settings.Certificates, settings.GetClientCertificate = nil, nil, nil
		secure := &tls.Dialer{NetDialer: dialer, Config: settings}
		return secure.DialContext(ctx, "tcp", net.JoinHostPort(proxy.Hostname(), cmp.Or(proxy.Port(), "443")))
	}
	return nil, errors.New("the proxy is neither http nor https")
}

// connect requests a tunnel to the target from a proxy (RFC 9110, section 9.3.6).
func connect(ctx context.Context, conn net.Conn, user *url.Userinfo, target string) error {
	if until, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(until); err != nil {
			return err
		}
	}
	request := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{},
	}
	if user != nil {
		password, _ := user.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		request.Header.Set("Proxy-Authorization", "Basic "+credentials)
	}
	if err := request.Write(conn); err != nil {
		return err
	}
	reader := bufio.NewReader(io.LimitReader(conn, maxAnswerHeader))
	//nolint:bodyclose // a tunnel has no body; otherwise the caller closes the connection
	response, err := http.ReadResponse(reader, request)
	switch {
	case err != nil:
		return errors.New("the proxy ended without an answer that is HTTP")
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("the proxy answered %d", response.StatusCode)
	case reader.Buffered() > 0:
		return errors.New("the proxy sent more than an answer")
	}
	return conn.SetDeadline(time.Time{})
}
