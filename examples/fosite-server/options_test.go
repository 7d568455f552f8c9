package main

import (
	"errors"
	"flag"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		arguments []string
		want      string
	}{
		{name: "none"},
		{name: "an issuer behind a proxy", arguments: []string{"-issuer", "https://id.example"}},
		{
			name: "postgres", arguments: []string{"-backend", "postgres", "-dsn-file", "x"},
		},
		{
			name:      "a store in the database",
			arguments: []string{"-dsn", "host=/tmp", "-store", "a=postgres:next"},
		},
		{
			name: "no database", arguments: []string{"-backend", "postgres"},
			want: "the database is not named: use -dsn-file, or the environment variable " +
				"SESSIONS_POSTGRES_DSN",
		},
		{
			name:      "a password on the command line",
			arguments: []string{"-backend", "postgres", "-dsn", "postgres://ann:s3cret@db/x"},
			want: "-dsn has a password, which lists of processes show: use -dsn-file or " +
				"SESSIONS_POSTGRES_DSN",
		},
		{
			name:      "the same schema",
			arguments: []string{"-backend", "postgres", "-dsn", "host=/tmp", "-store", "a=postgres:sessions"},
			want:      "-store a: postgres:sessions is the place of the sessions of -data",
		},
		{
			name: "another backend", arguments: []string{"-backend", "redis"},
			want: `-backend "redis" is neither badger nor postgres`,
		},
		{
			name: "a connection for badger", arguments: []string{"-dsn", "x"},
			want: "-dsn and -dsn-file are for -backend postgres, or a -store of it",
		},
		{
			name: "a short token", arguments: []string{"-admin-token", "fifteen-letters"},
			want: "-admin-token has fewer than 16 characters",
		},
		{name: "two tokens", arguments: []string{"-admin-token", testToken, "-admin-token-file", "x"},
			want: "-admin-token and -admin-token-file are both given: leave one of them out"},
		{name: "no data folder", arguments: []string{"-data", ""}, want: "-data is empty"},
		{
			name: "no port", arguments: []string{"-addr", "localhost"},
			want: "-addr: address localhost: missing port in address",
		},
		{
			name: "an issuer that is no URL", arguments: []string{"-issuer", "id.example"},
			want: "-issuer is not an http or https URL",
		},
		{
			name: "former issuers",
			arguments: []string{
				"-issuer", "https://id.example", "-former-issuers", "http://id.example,https://old.example",
			},
		},
		{name: "a former issuer that is no URL", arguments: []string{
			"-former-issuers", "https://id.example,old",
		},
			want: `invalid value "https://id.example,old" for flag -former-issuers: is not an http or ` +
				`https URL`},
		{name: "an issuer with a path", arguments: []string{"-issuer", "https://id.example/"},
			want: "-issuer has more than scheme, host and port: this server's pages are at the root, with " +
				"no slash at the end"},
		{name: "no network", arguments: []string{"-allow-logout-cidr", "10.0.0.1"},
			want: `invalid value "10.0.0.1" for flag -allow-logout-cidr: not a network in CIDR notation, ` +
				`such as 10.0.0.0/8 or fd00::/8`},
		{name: "stores", arguments: []string{"-store", "a=/a", "-store", "b=/b"}},
		{name: "a store without a folder", arguments: []string{"-store", "a="},
			want: `invalid value "a=" for flag -store: not a name and a folder, such as ` +
				`next=/var/lib/sessions-next, or a name and a schema, such as next=postgres:sessions`},
		{name: "a store with the name of the first", arguments: []string{"-store", "main=/a"},
			want: `invalid value "main=/a" for flag -store: main is what the store in the data folder is ` +
				`called`},
		{name: "a store twice", arguments: []string{"-store", "a=/a", "-store", "a=/b"},
			want: `invalid value "a=/b" for flag -store: a is named twice`},
		{name: "a store in the folder of the first", arguments: []string{
			"-data", "d", "-store", "a=d/./sessions",
		},
			want: "-store a: d/sessions is the place of the sessions of -data"},
		{
			name: "two stores in one folder", arguments: []string{"-store", "b=/x/", "-store", "a=/x"},
			want: "-store b: /x is the place of -store a",
		},
		{
			name: "limits",
			arguments: []string{
				"-session-idle", "1h", "-session-absolute", "8h", "-max-sessions", "3", "-refuse-sign-in",
			},
		},
		{
			name: "no idle time", arguments: []string{"-session-idle", "0s"},
			want: "-session-idle is not positive",
		},
		{
			name: "a negative end", arguments: []string{"-session-absolute", "-1s"},
			want: "-session-absolute is negative",
		},
		{
			name: "a negative limit", arguments: []string{"-max-sessions", "-1"},
			want: "-max-sessions is negative",
		},
		{
			name: "a refusal without limit", arguments: []string{"-refuse-sign-in"},
			want: "-refuse-sign-in needs -max-sessions",
		},
		{name: "more", arguments: []string{"more"}, want: `unexpected argument "more"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if _, err := parseOptions(c.arguments, io.Discard); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("error is %q, want %q", got, c.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	var usage strings.Builder
	if _, err := parseOptions([]string{"-help"}, &usage); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, text := range []string{
		"-data folder", `(default "fosite-server-data")`, "-store name=folder", "(default 10h0m0s)",
		"-dsn-file file",
	} {
		if !strings.Contains(usage.String(), text) {
			t.Errorf("-help lacks %q:\n%s", text, usage.String())
		}
	}
}

func TestAllowedNetworks(t *testing.T) {
	t.Parallel()
	o, err := parseOptions([]string{
		"-allow-logout-cidr", "10.1.2.3/8, fd00::/8", "-allow-logout-cidr", "192.168.0.0/16",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"),
		netip.MustParsePrefix("192.168.0.0/16"),
	}
	if diff := cmp.Diff(want, o.allowCIDRs, cmp.Comparer(func(a, b netip.Prefix) bool {
		return a == b
	})); diff != "" {
		t.Errorf("networks differ (-want +got):\n%s", diff)
	}
}

func TestIssuerOf(t *testing.T) {
	t.Parallel()
	address := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9000}
	for wanted, want := range map[string]string{
		"localhost:9000": "http://localhost:9000",
		"127.0.0.1:0":    "http://127.0.0.1:9000",
		":9000":          "http://localhost:9000",
		"0.0.0.0:9000":   "http://localhost:9000",
		"[::1]:0":        "http://[::1]:9000",
	} {
		if got := issuerOf(wanted, address); got != want {
			t.Errorf("issuer of %s is %s, want %s", wanted, got, want)
		}
	}
}
