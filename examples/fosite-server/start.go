package main

// Start and stop of the server.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin"
)

// stopTimeout bounds requests in flight at shutdown. A connection that a browser opened in advance counts as
// in flight for its first 5 s.
const stopTimeout = 10 * time.Second

// running is a started server. Its parts are stopped in reverse order.
type running struct {
	options   *options
	provider  *provider
	backend   *plugin.Client // the one that the server started with
	plugins   sync.Map       // *plugin.Client by store name
	address   net.Addr
	server    *http.Server
	demo      []*http.Server
	telemetry *telemetry
	// metricsAddress is the address of -metrics-addr, or nil.
	metricsAddress net.Addr
	closeLast      []func() error
}

// start starts everything; if it fails, it cleans up.
func start(ctx context.Context, o *options, logger *slog.Logger) (_ *running, err error) {
	s := &running{options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop(context.WithoutCancel(ctx)))
		}
	}()
	p := &provider{logger: logger}
	s.provider = p
	hash := newSecretHasher()
	if err := p.loadFiles(ctx, o, hash); err != nil {
		return nil, err
	}
	if o.adminToken != "" {
		logger.WarnContext(ctx,
			"lists of processes show the token of -admin-token to every user of this machine: "+
				"use -admin-token-file")
	}
	if o.data, err = filepath.Abs(o.data); err != nil {
		return nil, err
	}
	if err := checkDataFolder(o.data); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return nil, fmt.Errorf("-addr: %w", err)
	}
	s.closeLast = append(s.closeLast, func() error { return ignoreClosed(listener.Close()) })
	s.address = listener.Addr()
	p.issuer = cmp.Or(o.issuer, issuerOf(o.addr, listener.Addr()))
	if err := s.startDemo(ctx, hash); err != nil {
		return nil, fmt.Errorf("demo clients: %w", err)
	}
	if s.telemetry, err = newTelemetry(ctx, o.traces); err != nil {
		return nil, err
	}
	s.closeLast = append(s.closeLast, func() error { return s.telemetry.close(context.WithoutCancel(ctx)) })
	wanted, err := o.pins().wanted(ctx)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if s.backend, err = openBackend(wanted, o, s.telemetry, o.mainPlace(), logger); err != nil {
		return nil, fmt.Errorf("storage plugin: %w", o.pins().explain(err))
	}
	s.plugins.Store(mainStore, s.backend)
	s.closeLast = append(s.closeLast, s.backend.Close)
	// After everything that may fail: a failed start leaves no secrets behind.
	if p.secrets, err = loadSecrets(ctx, o, cmp.Or(o.adminToken, o.fileToken), logger); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if err := s.startSessions(ctx, hash); err != nil {
		return nil, err
	}
	if o.auditLog != "" {
		if err := s.openAudit(o.auditLog); err != nil {
			return nil, fmt.Errorf("-audit-log: %w", err)
		}
	}
	router := mux.NewRouter()
	p.mountSessions(router)
	p.routes(router)
	if err := s.mountMetrics(ctx, router); err != nil {
		return nil, err
	}
	protection := http.NewCrossOriginProtection()
	for _, path := range []string{
		pathAuthorize, pathToken, pathIntrospect, pathRevoke, pathUserInfo, pathEndSession,
	} {
		protection.AddInsecureBypassPattern(path) // the specifications let other sites post here
	}
	for _, path := range []string{pathAdmin + "/", pathAccount} {
		protection.AddInsecureBypassPattern(path) // they refuse by themselves, with an audit record
	}
	handler := limitBodies(protection.Handler(s.telemetry.handler(router)))
	s.server = newHTTPServer(withSecurityHeaders(handler))
	go serve(context.WithoutCancel(ctx), s.server, listener, logger)
	return s, nil
}

// loadFiles reads the files named by flags; the demo users are used if there is no file of users.
func (p *provider) loadFiles(ctx context.Context, o *options, hash secretHasher) error {
	var errs []error
	var err error
	p.clients = map[string]*client{}
	if o.clients != "" {
		if p.clients, err = loadClients(o.clients, hash); err != nil {
			errs = append(errs, fmt.Errorf("-clients: %w", err))
		}
	}
	if o.users != "" {
		if p.users, err = loadUsers(o.users); err != nil {
			errs = append(errs, fmt.Errorf("-users: %w", err))
		}
	} else {
		p.users, p.hints = newUsers(), demoUsers
		for _, demo := range demoUsers {
			p.users.add(demo.user())
		}
	}
	for id, c := range p.clients {
		if len(c.extra) > 0 {
			p.logger.InfoContext(ctx, "client has fields that this server does not use", "client_id", id,
				"fields", unused(c.extra))
		}
	}
	if o.tokenFile != "" {
		if o.fileToken, err = readAdminToken(ctx, o.tokenFile, p.logger); err != nil {
			errs = append(errs, fmt.Errorf("-admin-token-file: %w", err))
		}
	}
	if o.dsnFile != "" { // the plugin reads it too, but its warning would not name the flag
		if _, err := readSecret(ctx, o.dsnFile, p.logger); err != nil {
			errs = append(errs, fmt.Errorf("-dsn-file: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (s *running) startDemo(ctx context.Context, hash secretHasher) error {
	if s.options.clients != "" {
		return nil
	}
	p := s.provider
	if s.options.shares() {
		p.logger.WarnContext(ctx, "this server may share its store, and its demo clients take the place of "+
			"other servers' clients with the same ids: give all servers the same file with -clients",
			"client_ids", demoAsking+", "+demoTrusted)
	}
	clients, servers, err := startDemoClients(ctx, s.options, p.issuer, s.address, nil, p.logger)
	if err != nil {
		return err
	}
	p.demo, s.demo = clients, servers
	for _, d := range clients {
		p.clients[d.id] = d.registration(hash)
	}
	// The demo clients run on this machine.
	s.options.allowCIDRs = append(slices.Clone(s.options.allowCIDRs), netip.MustParsePrefix("127.0.0.1/32"),
		netip.MustParsePrefix("::1/128"))
	return nil
}

func (s *running) startSessions(ctx context.Context, hash secretHasher) (err error) {
	p := s.provider
	p.config = newFositeConfig(p.issuer, p.secrets, hash)
	key := p.secrets.signing.KeyID
	// Checked before the first delivery, which a host with a wrong key must not sign. attachSessions reports
	// other errors of the store.
	if _, _, err = checkSigningKey(ctx, s.backend, key); !errors.Is(err, errOtherSigningKey) {
		err = s.attachSessions(ctx)
	}
	if err == nil {
		s.closeLast = append(s.closeLast, p.sessions.Close)
		err = claimSigningKey(ctx, p.sessions.Backend(), key, p.logger)
	}
	var missing *hostadapter.MissingBackendError
	switch {
	case errors.Is(err, errOtherSigningKey):
		return fmt.Errorf("%s is not the one of the store's other servers: copy theirs; or, to replace the "+
			"key, stop all servers and start them with the new one (one that was killed counts for a "+
			"minute) (%w)",
			filepath.Join(s.options.keysFolder(), "signing-key.pem"), err)
	case errors.As(err, &missing):
		return fmt.Errorf("a swap to the store %q was done, or begun: start with the same -store %s=… "+
			"as then (%w)", missing.Name, missing.Name, err)
	case errors.Is(err, hostadapter.ErrKeysLost):
		return fmt.Errorf("%s is not the one with which the sessions were sealed: put the old one back; "+
			"or start with -keys-lost to go on without them (%w)",
			filepath.Join(s.options.keysFolder(), "global-secret"), err)
	case errors.Is(err, hostadapter.ErrOtherIssuer):
		return fmt.Errorf("start with the -issuer, or the -addr, that it had, or with another -data folder; "+
			"or, where this server was renamed, with -former-issuers and the old one (%w)", err)
	case err != nil:
		return fmt.Errorf("session management: %w", s.options.pins().explain(err))
	}
	// Counts shared by the servers of a store.
	m := newMarks(p.secrets.global, p.sessions.Backend().Grants())
	p.forms = newForms(p.secrets.global, p.issuer, m)
	p.throttle = newSignInThrottle(p.secrets.global, p.issuer, m)
	p.operators = newOperators(p.secrets, p.issuer, m)
	if p.sessions.Operations().BackendName() == mainStore {
		return nil
	}
	return s.backend.Close() // another backend replaced it in a swap before this start
}

// stop waits for requests in flight, closes the connections of those that take longer than stopTimeout, which
// is logged, and closes everything.
func (s *running) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	var errs []error
	servers := s.demo
	if s.server != nil {
		servers = append([]*http.Server{s.server}, s.demo...)
	}
	for _, server := range servers {
		if err := server.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
			s.provider.logger.WarnContext(ctx, "connections with requests in flight are closed",
				"after", stopTimeout)
			errs = append(errs, server.Close())
		} else if err != nil {
			errs = append(errs, err)
		}
	}
	for _, closePart := range slices.Backward(s.closeLast) {
		errs = append(errs, closePart())
	}
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// pluginPID returns the process id of the current plugin.
func (s *running) pluginPID() int {
	client, _ := s.plugins.Load(s.provider.sessions.Operations().BackendName())
	if client, ok := client.(*plugin.Client); ok {
		return client.PID()
	}
	return 0
}

// announce prints "key: value" lines with fixed keys, then an empty line, then text for people.
func (s *running) announce(w io.Writer) {
	p := s.provider
	lines := [][2]string{
		{"issuer", p.issuer},
		{"address", s.address.String()},
		{"admin_url", p.issuer + pathAdmin},
		{"admin_page", p.issuer + pathAdminPage},
		s.adminTokenLine(),
		{"plugin_pid", fmt.Sprint(s.pluginPID())},
		{"data", s.options.data},
	}
	if s.metricsAddress != nil {
		lines = append(lines, [2]string{"metrics", "http://" + s.metricsAddress.String() + pathMetrics})
	}
	for _, d := range p.demo {
		lines = append(lines, [2]string{"client", d.url + " " + d.id})
	}
	for _, u := range p.hints {
		lines = append(lines, [2]string{"user", u.Username + " " + u.Password})
	}
	var text strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&text, "%s: %s\n", line[0], line[1])
	}
	text.WriteString("\n")
	if len(p.demo) > 0 && len(p.hints) > 0 {
		fmt.Fprintf(&text, "Sign in at %s as %s with %s, then open %s: no password is asked.\n",
			p.demo[0].url, p.hints[0].Username, p.hints[0].Password, p.demo[1].url)
		fmt.Fprintf(&text, "Then end the session at %s with the admin token, or with curl, "+
			"and watch both pages:\n\n"+
			"  curl -H \"Authorization: Bearer %s\" \\\n    --json '{\"subject_id\":\"%s\"}' "+
			"%s%s/sessions/remove\n\n",
			p.issuer+pathAdminPage, s.adminTokenForShell(), p.hints[0].subject, p.issuer, pathAdmin)
	}
	text.WriteString("Access tokens are opaque: they end with their session. Stop with Ctrl-C.\n")
	_, _ = io.WriteString(w, text.String())
}

// adminTokenLine returns the admin token, or the operator's file that has it, because the output may be
// logged.
func (s *running) adminTokenLine() [2]string {
	if flag, file := s.options.tokenSource(); file != "" {
		return [2]string{"admin_token_from", flag + " " + file}
	}
	return [2]string{"admin_token", s.provider.secrets.adminToken}
}

func (s *running) adminTokenForShell() string {
	if _, file := s.options.tokenSource(); file != "" {
		return fmt.Sprintf("$(cat '%s')", file)
	}
	return s.provider.secrets.adminToken
}

// tokenSource returns the operator's file with the admin token and the flag that named it, or "".
func (o *options) tokenSource() (flag, file string) {
	switch {
	case o.tokenFile != "":
		return "-admin-token-file", o.tokenFile
	case o.keys != "" && o.adminToken == "":
		return "-keys", filepath.Join(o.keys, "admin-token")
	}
	return "", ""
}
