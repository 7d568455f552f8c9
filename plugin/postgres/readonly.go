package postgres

// Opening a store read-only, and migrating it, for package cli.

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// ReadOnly is a store opened read-only: it serves no host, changes nothing, and may be a replica.
type ReadOnly struct {
	engine *Engine
	found  *schema.Found
}

// OpenReadOnly opens a store read-only. It creates and migrates nothing, and does not register a host.
func OpenReadOnly(ctx context.Context, settings Settings, logger *slog.Logger) (*ReadOnly, error) {
	o, err := connect(ctx, settings, logger, false)
	if err != nil {
		return nil, err
	}
	quoted := pgx.Identifier{settings.schema()}.Sanitize()
	e := &Engine{pool: o.pool, schema: quoted, killed: &progress{}, logger: logger}
	e.background, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	return &ReadOnly{e, o.found}, nil
}

// Format returns the number of the store's last migration, and the newest one known to this program.
func (r *ReadOnly) Format() (opened, newest int) { return r.found.Schema, schema.Embedded().Newest() }

// Transfer returns the store's transfer.Store for exports. Its writes are refused by the database, or need an
// Engine.
func (r *ReadOnly) Transfer() transfer.Store { return exporter{mover{r.engine}} }

// exporter is a store that is only read.
type exporter struct{ mover }

var errOpenedReadOnly = errors.New("the store was opened read-only")

func (exporter) Become(context.Context, transfer.Transition) error { return errOpenedReadOnly }

// Check checks the store (Engine.Check).
func (r *ReadOnly) Check(ctx context.Context, config CheckConfig) (*Report, error) {
	return r.engine.Check(ctx, config)
}

// Stats returns the store's figures (Engine.Stats).
func (r *ReadOnly) Stats(ctx context.Context) (*Stats, error) { return r.engine.Stats(ctx) }

// Close closes the connections.
func (r *ReadOnly) Close() error { return r.engine.Close() }

// Vacant reports whether the schema has no store yet. It refuses a schema with other tables.
func Vacant(ctx context.Context, settings Settings) (vacant bool, err error) {
	err = once(ctx, settings, func(conn *pgx.Conn) error {
		found, err := schema.Look(ctx, conn, settings.schema())
		vacant = err == nil && found.Empty
		return err
	})
	return vacant, err
}

// Migrate creates the tables of a store, or migrates them to the newest schema, and grants the run-time role
// of the settings the privileges that hosts need. It must be run as the owner of the tables, and not through
// a pooler. It returns the schema before, 0 for none, and after.
func Migrate(ctx context.Context, settings Settings, logger *slog.Logger) (from, to int, err error) {
	err = once(ctx, settings, func(conn *pgx.Conn) (err error) {
		name := settings.schema()
		if from, to, err = schema.Embedded().Migrate(ctx, conn, name); err != nil ||
			settings.RuntimeRole == "" {
			return err
		}
		logger.InfoContext(ctx, "run-time role", "role", settings.RuntimeRole)
		return schema.Grant(ctx, conn, name, settings.RuntimeRole)
	})
	return from, to, err
}

// once calls f with a separate connection.
func once(ctx context.Context, settings Settings, f func(conn *pgx.Conn) error) error {
	config, err := settings.config()
	if err != nil {
		return err
	}
	if config.BeforeConnect != nil {
		if err := config.BeforeConnect(ctx, config.ConnConfig); err != nil {
			return err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return explain(err, config.ConnConfig)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return explain(f(conn), config.ConnConfig)
}
