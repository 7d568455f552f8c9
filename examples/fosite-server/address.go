package main

// Client addresses of requests behind trusted proxies.

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// remoteAddr returns the address that a request comes from: the last address in X-Forwarded-For that is not a
// trusted proxy's. Earlier entries can be forged.
func (o *options) remoteAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if !o.isProxy(host) {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		hop = strings.TrimSpace(hop)
		if withPort, err := netip.ParseAddrPort(hop); err == nil {
			hop = withPort.Addr().String()
		}
		if _, err := netip.ParseAddr(hop); err != nil {
			break
		}
		if host = hop; !o.isProxy(host) {
			break
		}
	}
	return host
}

func (o *options) isProxy(host string) bool {
	address, err := netip.ParseAddr(host)
	address = address.Unmap().WithZone("")
	return err == nil && slices.ContainsFunc(o.proxies, func(p netip.Prefix) bool {
		return p.Contains(address)
	})
}

// addressPrefix returns the address, or the /64 of an IPv6 address, because a user's network usually has a
// whole /64.
func addressPrefix(address string) string {
	if withPort, err := netip.ParseAddrPort(address); err == nil {
		address = withPort.Addr().String()
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}
