package postgres

// The engine as a backend: opening, describing and closing it.

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/internal/program"
	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var _ sessions.Backend = (*Engine)(nil)

// Open opens the store of the settings, or makes it in a schema that is missing or empty. It refuses, with
// what to do about it and without changing anything, a server, database or schema that cannot keep a store
// right: see the package's README. Where the context has ids of stores (ticketstore.WithStoreIDs), what is
// none of those is refused as ErrOtherStore. For a server that is starting it waits until shortly before
// the context's deadline, if there is one. Several hosts may have the store open (rule 14).
func Open(ctx context.Context, settings Settings, logger *slog.Logger) (*Engine, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	o, err := connect(ctx, settings, logger, true)
	if err != nil {
		return nil, err
	}
	return o.serve(ctx, logger)
}

// serve begins to serve an opened schema, as one of its hosts.
func (o *opened) serve(ctx context.Context, logger *slog.Logger) (*Engine, error) {
	host, err := join(ctx, o, logger)
	if err != nil {
		o.pool.Close()
		return nil, err
	}
	name := o.settings.schema()
	e, err := newEngine(ctx, o.pool, pgx.Identifier{name}.Sanitize(), host, logger)
	if err != nil {
		host.leave()
		o.pool.Close()
		return nil, fmt.Errorf("%w: %w", ticketstore.ErrUnavailable, err)
	}
	logger.InfoContext(ctx, "store opened", "schema", name, "store_id", o.found.StoreID, "tables",
		o.found.Schema, "connections", o.settings.connections(), "pooler", o.settings.Pooler,
		"synchronous_standbys", cmp.Or(o.standbys, "none"))
	if o.asynchronous != "" {
		logger.WarnContext(ctx, "COMMITS ARE NOT DURABLE: what was acknowledged may be lost", "because",
			o.asynchronous)
	}
	return e, nil
}

// Close ends background work, waits for the calls inside, leaves the store's hosts and closes all
// connections. It is idempotent. A database that does not answer is left after two seconds.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		e.close()
		e.host.leave()
		e.pool.Close()
	}()
	select {
	case <-closed:
		return nil
	case <-time.After(closePatience):
		return fmt.Errorf("%w: its connections did not close within %v", ticketstore.ErrUnavailable,
			closePatience)
	}
}

// closePatience is less than what a host gives its plugin to end.
const closePatience = 1800 * time.Millisecond

// Describe says what this backend is, and fails when the database cannot be reached: in time for the caller
// to hear of it, who takes a plugin for dead that does not answer.
func (e *Engine) Describe(ctx context.Context) (ticketstore.Description, error) {
	d := About()
	if e.closed.Load() {
		return ticketstore.Description{}, errClosed
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/4))
		defer cancel()
	}
	err := e.pool.QueryRow(ctx, e.sql("SELECT store_id FROM {s}.ledger")).Scan(&d.StoreID)
	if err != nil {
		return ticketstore.Description{}, e.unavailable(ctx, err)
	}
	d.Trouble = e.host.trouble()
	hosts, err := e.Hosts(ctx)
	if err != nil {
		return ticketstore.Description{}, e.unavailable(ctx, err)
	}
	for _, h := range hosts[:min(len(hosts), ticketstore.MaxHosts)] {
		d.Hosts = append(d.Hosts, ticketstore.Host{
			Name: h.Name, Version: h.Version, Beat: h.Beat, Joined: h.Joined,
		})
	}
	return d, nil
}

// About is what Describe says, but for the id of the store. It needs no database.
func About() ticketstore.Description {
	return ticketstore.Description{
		Name: "postgres", Version: version(), Format: uint32(schema.Embedded().Newest()), Shared: true,
		Services: []string{
			"tickets", "grants", "logout", ticketstore.PropertiesService, transfer.Service,
			sessions.FiguresService, grantstore.KillsService, grantstore.LeasesService,
		},
	}
}

// buildVersion is set by -ldflags "-X
// github.com/fosite-sessions/sessions/plugin/postgres.buildVersion=v1.2.3" where the module has no version.
var buildVersion string

func version() string { return program.Version(buildVersion) }
