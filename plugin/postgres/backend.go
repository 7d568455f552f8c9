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

// Open opens the store, or creates it in a missing or empty schema. Without changing anything, it refuses a
// server, database or schema that cannot keep a store correctly, with an error that says what to do: see the
// package's README. If the context has ids of stores (ticketstore.WithStoreIDs), any other store is refused
// with ErrOtherStore. If the server is starting, Open waits for it until shortly before the context's
// deadline, if there is one. Several hosts may have the store open (rule 14).
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

// serve starts serving an opened schema as one of its hosts.
func (o *opened) serve(ctx context.Context, logger *slog.Logger) (*Engine, error) {
	host, err := join(ctx, o, logger)
	if err != nil {
		o.pool.Close()
		return nil, err
	}
	name := o.settings.schema()
	e, err := newEngine(ctx, o.pool, pgx.Identifier{name}.Sanitize(), host, logger, defaultGathering)
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

// Close stops background work, waits for running calls, deregisters the host and closes all connections. It
// is idempotent. If the database does not answer, it gives up after two seconds.
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

// closePatience is shorter than the time that a host gives its plugin to exit.
const closePatience = 1800 * time.Millisecond

// Describe returns the description of the backend. If the database is unreachable, it fails before the
// caller's timeout, because a plugin that does not answer is considered dead.
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
	d.Hosts = shown(hosts)
	return d, nil
}

// About returns the description without the id of the store. It needs no database.
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
// github.com/fosite-sessions/sessions/plugin/postgres.buildVersion=v1.2.3" if the module has no version.
var buildVersion string

func version() string { return program.Version(buildVersion) }
