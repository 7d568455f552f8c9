package main

// Addresses of requests behind trusted proxies.

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// remoteAddr returns where a request comes from: of the addresses that trusted proxies have added to
// X-Forwarded-For, the last that is not theirs. Those before it can be forged.
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

// neighbourhood is what addresses of one user have in common: a network with one IPv6 address has a /64 of
// them.
func neighbourhood(address string) string {
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
