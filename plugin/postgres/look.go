package postgres

// Looking at a store without serving it, and migrating it: what an operator does. Package cli calls it.

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Look is a store that is looked at: it serves nothing and changes nothing, and may be that of a replica.
type Look struct {
	engine *Engine
	found  *schema.Found
}

// OpenReadOnly opens a store to look at it. Nothing is made or migrated, and the host is not registered.
func OpenReadOnly(ctx context.Context, settings Settings, logger *slog.Logger) (*Look, error) {
	o, err := connect(ctx, settings, logger, false)
	if err != nil {
		return nil, err
	}
	quoted := pgx.Identifier{settings.schema()}.Sanitize()
	e := &Engine{pool: o.pool, schema: quoted, killed: &progress{}, logger: logger}
	e.background, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	return &Look{e, o.found}, nil
}

// Format is the number of the store's last migration, and Newest the one that this program knows.
func (l *Look) Format() (opened, newest int) { return l.found.Schema, schema.Embedded().Newest() }

// ID names the data.
func (l *Look) ID() string { return l.found.StoreID }

// Transfer returns what exports the store. What would change it is refused by the database, or needs an
// Engine.
func (l *Look) Transfer() transfer.Store { return exporter{mover{l.engine}} }

// exporter is a store that is only read.
type exporter struct{ mover }

var errLooking = errors.New("the store was opened to look at it")

func (exporter) Become(context.Context, transfer.Transition) error { return errLooking }

// Check holds the store against its rules (Engine.Check).
func (l *Look) Check(ctx context.Context, config CheckConfig) (*Report, error) {
	return l.engine.Check(ctx, config)
}

// Stats returns the store's figures (Engine.Stats).
func (l *Look) Stats(ctx context.Context) (*Stats, error) { return l.engine.Stats(ctx) }

// Close closes the connections.
func (l *Look) Close() error { return l.engine.Close() }

// Vacant reports whether there is no store in the schema yet. It refuses a schema with tables of something
// else.
func Vacant(ctx context.Context, settings Settings) (vacant bool, err error) {
	err = once(ctx, settings, func(conn *pgx.Conn) error {
		found, err := schema.Look(ctx, conn, settings.schema())
		vacant = err == nil && found.Empty
		return err
	})
	return vacant, err
}

// Migrate makes the tables of a store, or brings them to the newest schema, and gives the run-time role of
// the settings what hosts need. It is to be run as the owner of the tables, and not through a pooler. It
// returns the schema before, 0 for none.
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

// once has f use a connection of its own.
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
