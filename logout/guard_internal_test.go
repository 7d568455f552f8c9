package logout

// Tests of the addresses that logout tokens may be sent to.

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	closed, err := newGuard(nil)
	if err != nil {
		t.Fatal(err)
	}
	open, err := newGuard([]netip.Prefix{
		netip.MustParsePrefix("10.1.2.3/16"), netip.MustParsePrefix("::ffff:192.168.7.0/120"),
		netip.MustParsePrefix("fd00::/8"),
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		addr          string
		closed, opens bool // allowed by the guard without and with allowed networks
	}{
		{"93.184.216.34:443", true, true},
		{"[2606:4700::1111]:443", true, true},
		{"[64:ff9b::5db8:d822]:443", true, true}, // a public address behind NAT64
		{"10.1.9.9:80", false, true},
		{"[::ffff:10.1.9.9]:80", false, true},
		{"[64:ff9b::a01:909]:80", false, true},
		{"10.2.0.1:80", false, false},
		{"192.168.7.1:80", false, true},
		{"192.168.8.1:80", false, false},
		{"[fd12::1]:80", false, true},
		{"[fc12::1]:80", false, false},
		{"0.0.0.0:80", false, false},
		{"127.0.0.1:80", false, false},
		{"127.255.255.254:80", false, false},
		{"169.254.169.254:80", false, false},
		{"172.16.0.1:80", false, false},
		{"172.32.0.1:80", true, true},
		{"100.64.0.1:80", false, false},
		{"100.128.0.1:80", true, true},
		{"192.0.0.8:80", false, false},
		{"198.18.0.1:80", false, false},
		{"224.0.0.1:80", false, false},
		{"240.0.0.1:80", false, false},
		{"255.255.255.255:80", false, false},
		{"[::]:80", false, false},
		{"[::1]:80", false, false},
		{"[::127.0.0.1]:80", false, false},
		{"[::ffff:127.0.0.1]:80", false, false},
		{"[::ffff:0:127.0.0.1]:80", false, false},
		{"[64:ff9b::7f00:1]:80", false, false},
		{"[64:ff9b:1::a00:1]:80", false, false},
		{"[2002:7f00:1::]:80", false, false},
		{"[2001:0:1::1]:80", false, false},
		{"[2001:db8::1]:80", false, false},
		{"[fe80::1%eth0]:80", false, false},
		{"[fec0::1]:80", false, false},
		{"[ff02::1]:80", false, false},
		{"[100::1]:80", false, false},
		{"rp.example:80", false, false}, // a name is not an address
	}
	for _, test := range tests {
		if err := closed.control("tcp", test.addr, nil); (err == nil) != test.closed ||
			(err != nil && !errors.Is(err, ErrAddress)) {
			t.Errorf("%s: error %v, want allowed %t", test.addr, err, test.closed)
		}
		if err := open.control("tcp", test.addr, nil); (err == nil) != test.opens {
			t.Errorf("%s with allowed networks: error %v, want allowed %t", test.addr, err, test.opens)
		}
	}
	for _, wrong := range []netip.Prefix{{}, netip.MustParsePrefix("::ffff:0:0/90")} {
		var field *ticketstore.FieldError
		if _, err := newGuard([]netip.Prefix{wrong}); !errors.As(err, &field) ||
			field.Field != "allow_cidrs[0]" {
			t.Errorf("network %v: error %v, want one that names allow_cidrs[0]", wrong, err)
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		value string
		want  time.Time
		ok    bool
	}{
		{"", time.Time{}, false},
		{"0", now, true},
		{" 120 ", now.Add(2 * time.Minute), true},
		{"99999999999999999999", now.Add(RetryWindow), true},
		{"-1", time.Time{}, false},
		{"1.5", time.Time{}, false},
		{"Fri, 02 Jan 2026 04:04:05 GMT", now.Add(time.Hour), true},
		{"tomorrow", time.Time{}, false},
	}
	for _, test := range tests {
		if got, ok := parseRetryAfter(test.value, now); ok != test.ok || !got.Equal(test.want) {
			t.Errorf("%q: %v, %t; want %v, %t", test.value, got, ok, test.want, test.ok)
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempts, want := range map[int]time.Duration{
		0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 20: time.Hour, 1000: time.Hour,
	} {
		for range 100 {
			if got := backoff(time.Second, time.Hour, attempts); got < want*3/4 || got > want*5/4 {
				t.Fatalf("after %d attempts: %v, want %v give or take a quarter", attempts, got, want)
			}
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"abc", "abc"}, {"abcdef", "abcd"}, {"abcé", "abc"}, {"a\x00b", "a?b"}, {"a\xffb", "a?b"},
	} {
		if got := cut(test.in, 4); got != test.want {
			t.Errorf("cut(%q) is %q, want %q", test.in, got, test.want)
		}
	}
}
