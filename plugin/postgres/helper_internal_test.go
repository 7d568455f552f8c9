package postgres

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/storetest"
)

// openEngine opens an engine over a schema of the test's own.
func openEngine(t *testing.T) *Engine {
	t.Helper()
	dsn, name := pgserver.Shared(t).Schema(t)
	return openHost(t, Settings{DSN: dsn, Schema: name})
}

// openHost opens an engine over a schema that others may have open.
func openHost(t *testing.T, settings Settings) *Engine {
	t.Helper()
	o := mustOpen(t, settings)
	schema := pgx.Identifier{settings.Schema}.Sanitize()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	e, err := newEngine(context.WithoutCancel(t.Context()), o.pool, schema, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Config{Immovable: true, New: func(t *testing.T) storetest.Fixture {
		e := openEngine(t)
		return storetest.Fixture{Stores: storetest.Stores{
			Tickets: e.Tickets(), Grants: e.Grants(), Logout: e.Logout(), Properties: e.Properties(),
		}}
	}})
}
