package logout

// The addresses that deliveries may connect to: a client's logout URI must not reach private networks (rule
// 7).

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// ErrAddress means that a client's logout URI resolves to an address that is neither public nor allowed.
var ErrAddress = errors.New("address is not public: if this is intended, allow its network in AllowCIDRs")

// guard decides to which addresses logout tokens may be sent (rule 7). It checks the address of each
// connection after name resolution, so that a name cannot bypass it.
type guard struct {
	allow []netip.Prefix
}

func newGuard(allow []netip.Prefix) (*guard, error) {
	g := &guard{}
	for i, prefix := range allow {
		if !prefix.IsValid() {
			return nil, ticketstore.Invalidf(fmt.Sprintf("allow_cidrs[%d]", i), "is not a network")
		}
		if addr := prefix.Addr(); addr.Is4In6() {
			if prefix.Bits() < 96 {
				return nil, ticketstore.Invalidf(fmt.Sprintf("allow_cidrs[%d]", i),
					"is wider than the IPv4-mapped addresses")
			}
			prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
		}
		g.allow = append(g.allow, prefix.Masked())
	}
	return g, nil
}

// control is a net.Dialer's Control: it runs before each connection, with the numeric address.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: it cannot be read", ErrAddress)
	}
	return g.check(target.Addr())
}

func (g *guard) check(addr netip.Addr) error {
	addr = addr.WithZone("").Unmap()
	if slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return nil
	}
	if addr.Is6() && nat64.Contains(addr) {
		// The address behind the translator decides, also for the allowed networks.
		raw := addr.As16()
		return g.check(netip.AddrFrom4([4]byte(raw[12:])))
	}
	if isPublic(addr) {
		return nil
	}
	return fmt.Errorf("%s: %w", addr, ErrAddress)
}

func isPublic(addr netip.Addr) bool {
	if addr.Is6() && !globalUnicast.Contains(addr) {
		// Unspecified, loopback, IPv4-compatible and -translated, unique local, link-local, site-local,
		// multicast, segment routing.
		return false
	}
	return addr.IsValid() &&
		!slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(addr) })
}

var (
	nat64         = netip.MustParsePrefix("64:ff9b::/96")
	globalUnicast = netip.MustParsePrefix("2000::/3")
)

// reserved are the non-public networks of IANA's special-purpose registries, except IPv6 networks outside
// globalUnicast.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("10.0.0.0/8"),      // private
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
	netip.MustParsePrefix("127.0.0.0/8"),     // loopback
	netip.MustParsePrefix("169.254.0.0/16"),  // link-local, metadata services
	netip.MustParsePrefix("172.16.0.0/12"),   // private
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("192.168.0.0/16"),  // private
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("224.0.0.0/4"),     // multicast
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo, ORCHID
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4
	netip.MustParsePrefix("3fff::/20"),       // documentation
}
