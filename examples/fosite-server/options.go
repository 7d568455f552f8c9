package main

// The flags.

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/postgres"
)

// options are the flags.
type options struct {
	addr    string
	issuer  string
	data    string
	keys    string // empty: in data
	backend string
	plugin  string
	stores  map[string]string // places by name
	dsn     string
	dsnFile string
	schema  string
	// unverifiedTLS is described at postgres.Settings.
	unverifiedTLS bool
	// acceptStore is the id of a store that may replace the pinned one.
	acceptStore string
	clients     string
	demoFor     string
	users       string
	adminToken  string
	tokenFile   string
	fileToken   string // the content of tokenFile
	auditLog    string
	allowCIDRs  []netip.Prefix
	metricsAddr string
	traces      string // a file or a URL
	proxies     []netip.Prefix

	idle, absolute time.Duration
	maxSessions    int
	formerIssuers  []string
	keysLost       bool
	refuseSignIn   bool
}

// defaultData is relative to the working directory.
const defaultData = "fosite-server-data"

func parseOptions(arguments []string, usage io.Writer) (*options, error) {
	var o options
	flags := flag.NewFlagSet("fosite-server", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error itself, without the list of flags
	flags.StringVar(&o.addr, "addr", "localhost:9000",
		"`address` to listen on; the demo clients take the two ports after it, or free ones after :0")
	flags.StringVar(&o.issuer, "issuer", "",
		"`URL` under which browsers and clients reach this server (default http:// and the address)")
	flags.Func("former-issuers", "`URLs` that this server was reached under before, separated by commas: "+
		"their sessions stay until they end, and no longer sign their users in", o.formerIssuer)
	flags.StringVar(&o.data, "data", defaultData,
		"`folder` of the keys and, with the badger backend, of the sessions")
	flags.StringVar(&o.keys, "keys", "", "`folder` with "+strings.Join(keyFiles, ", ")+", the same for all "+
		"servers of a store; nothing is written to it (default: the data folder, where they are made)")
	flags.StringVar(&o.demoFor, "demo-clients", "", "`file` of clients: run the demo clients alone, as they "+
		"are registered there, for the server at -issuer; they take the two ports after -addr")
	flags.StringVar(&o.backend, "backend", backendBadger,
		"where sessions are kept: `badger`, in the data folder, or postgres, where servers may share them")
	flags.StringVar(&o.dsnFile, "dsn-file", "", "`file` with the DSN of the PostgreSQL database, such as "+
		"postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full (or "+postgres.DSNEnv+")")
	flags.StringVar(&o.dsn, "dsn", "", "a `DSN` without a password: lists of processes show it")
	flags.StringVar(&o.schema, "schema", postgres.DefaultSchema, "`schema` of the database with the sessions")
	flags.BoolVar(&o.unverifiedTLS, "unverified-tls", false,
		"connect to a database on another machine without verifying it")
	flags.StringVar(&o.plugin, "plugin", "",
		"`file` of the storage plugin to run instead of the one built in")
	flags.Func("store",
		"`name=folder` of a store that the sessions can be swapped to while the server serves, or "+
			"name=postgres:SCHEMA of one in the database; repeat it for more", o.store)
	flags.StringVar(&o.acceptStore, "accept-store", "",
		"`id` of a store that may serve in the place of the one "+
			"that the data folder has pinned, such as a restored one")
	flags.BoolVar(&o.keysLost, "keys-lost", false, "go on with sessions whose keys, in the data folder, "+
		"were lost: their users sign in again, and their tokens are invalid")
	flags.StringVar(&o.clients, "clients", "",
		"`file` of clients, a JSON array with the names of OpenID Connect registration (default: the demo "+
			"clients)")
	flags.StringVar(&o.users, "users", "",
		"`file` of users, a JSON array of username, password, subject, name, email (default: the demo users)")
	flags.StringVar(&o.tokenFile, "admin-token-file", "",
		"`file` with the bearer token of the admin routes, closed to others (default: one kept in the "+
			"data folder)")
	flags.StringVar(&o.adminToken, "admin-token", "",
		"bearer `token` of the admin routes; lists of processes show it: prefer -admin-token-file")
	flags.StringVar(&o.auditLog, "audit-log", "",
		"`file` for the audit of admin routes and account page, in lines of JSON; it is rotated at 100 MiB, "+
			"and ten old ones are kept (default: the log)")
	flags.StringVar(&o.metricsAddr, "metrics-addr", "",
		"`address` to serve /metrics on, to all who reach it (default: with the admin token, on -addr)")
	flags.StringVar(&o.traces, "traces", "",
		"`file` that traces are appended to, as OTLP in JSON, or URL of a collector, such as "+
			"http://localhost:4318/v1/traces (default: no traces). The file grows by 1 to 10 kB a request "+
			"and is never cut; OTEL_TRACES_SAMPLER and its _ARG choose which requests are traced")
	flags.Func("allow-logout-cidr", "private `network` that logout tokens may be sent to, such as "+
		"10.0.0.0/8; repeat or separate by commas", networks(&o.allowCIDRs))
	flags.Func("trusted-proxy", "`network` of the proxies in front of this server, whose "+
		"X-Forwarded-For is believed; without it all that comes through a proxy has its address; repeat or "+
		"separate by commas", networks(&o.proxies))
	flags.DurationVar(&o.idle, "session-idle", hostadapter.DefaultIdleTimeout,
		"how long a session lives without being used")
	flags.DurationVar(&o.absolute, "session-absolute", 0,
		"how long a session lives at most after a sign-in; 0: as long as it is used")
	flags.IntVar(&o.maxSessions, "max-sessions", 0, "how many sessions a user may have at once; 0: no limit")
	flags.BoolVar(&o.refuseSignIn, "refuse-sign-in", false,
		"refuse a sign-in above -max-sessions, where otherwise the oldest session ends")
	err := flags.Parse(arguments)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(usage,
			"fosite-server is an OpenID provider with sessions and two demo clients. Its flags:")
		flags.SetOutput(usage)
		flags.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return &o, o.validate()
}

// networks parses a flag and appends its networks to list.
func networks(list *[]netip.Prefix) func(text string) error {
	return func(text string) error {
		for one := range strings.SplitSeq(text, ",") {
			prefix, err := netip.ParsePrefix(strings.TrimSpace(one))
			if err != nil {
				return errors.New("not a network in CIDR notation, such as 10.0.0.0/8 or fd00::/8")
			}
			*list = append(*list, prefix.Masked())
		}
		return nil
	}
}

func (o *options) formerIssuer(list string) error {
	for text := range strings.SplitSeq(list, ",") {
		issuer := strings.TrimSpace(text)
		if err := checkIssuer(issuer); err != nil {
			return err
		}
		o.formerIssuers = append(o.formerIssuers, issuer)
	}
	return nil
}

func (o *options) validate() error {
	switch {
	case o.backend != backendBadger && o.backend != backendPostgres:
		return fmt.Errorf("-backend %q is neither badger nor postgres", o.backend)
	case o.idle <= 0:
		return errors.New("-session-idle is not positive")
	case o.absolute < 0:
		return errors.New("-session-absolute is negative")
	case o.maxSessions < 0:
		return errors.New("-max-sessions is negative")
	case o.refuseSignIn && o.maxSessions == 0:
		return errors.New("-refuse-sign-in needs -max-sessions")
	case o.adminToken != "" && o.tokenFile != "":
		return errors.New("-admin-token and -admin-token-file are both given: leave one of them out")
	case o.adminToken != "" && len(o.adminToken) < minAdminToken:
		return fmt.Errorf("-admin-token has fewer than %d characters", minAdminToken)
	case o.data == "":
		return errors.New("-data is empty")
	case o.demoFor != "" && o.issuer == "":
		return errors.New("-demo-clients needs -issuer")
	}
	if err := errors.Join(o.checkStores(), o.checkDSN()); err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(o.addr); err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	if o.issuer == "" {
		return nil
	}
	if err := checkIssuer(o.issuer); err != nil {
		return fmt.Errorf("-issuer %w", err)
	}
	return nil
}

// shares reports whether the server may share its store with others.
func (o *options) shares() bool { return o.backend == backendPostgres || o.keys != "" }

func checkIssuer(text string) error {
	issuer, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("is no URL: %w", err)
	case issuer.Scheme != "https" && issuer.Scheme != "http" || issuer.Host == "":
		return errors.New("is not an http or https URL")
	case issuer.Path != "" || issuer.RawQuery != "" || issuer.Fragment != "" || issuer.User != nil:
		return errors.New("has more than scheme, host and port: this server's pages are at the root, " +
			"with no slash at the end")
	}
	return nil
}

// issuerOf returns the issuer for a server that listens on address and was requested to listen on wanted.
func issuerOf(wanted string, address net.Addr) string {
	host, _, _ := net.SplitHostPort(wanted)
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(address.String())
	return "http://" + net.JoinHostPort(host, port)
}
