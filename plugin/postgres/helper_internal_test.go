package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/plugintest"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/storetest"
)

// emptied are schemas of finished tests without rows: deleting rows is faster than creating tables.
var emptied struct {
	sync.Mutex
	names []string
	made  int
}

// empty deletes the rows of a schema, leaving it as the migrations created it.
const empty = `
	DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = '{s}' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
				AND relname NOT IN ('ledger', 'schema_version', 'slots') LOOP
			EXECUTE format('DELETE FROM {s}.%I', name);
		END LOOP;
	END $$;
	UPDATE {s}.slots SET state = 0, position = 0, counts = DEFAULT, sums = DEFAULT, kills = 0;
	UPDATE {s}.ledger SET state = 0, move = '', peer = '', origin = ''`

// emptyStore returns the settings of an empty store for the test.
func emptyStore(t *testing.T) Settings {
	t.Helper()
	server := pgserver.Shared(t)
	emptied.Lock()
	defer emptied.Unlock()
	settings := Settings{DSN: server.DSN("postgres")}
	if n := len(emptied.names); n > 0 {
		settings.Schema, emptied.names = emptied.names[n-1], emptied.names[:n-1]
	} else {
		emptied.made++
		settings.Schema = fmt.Sprintf("store_%d", emptied.made)
	}
	pool := lasting(t, settings.DSN, func() (*pgxpool.Pool, error) {
		return pgxpool.New(context.WithoutCancel(t.Context()), settings.DSN)
	})
	t.Cleanup(func() {
		_, err := pool.Exec(context.WithoutCancel(t.Context()),
			strings.ReplaceAll(empty, "{s}", settings.Schema), pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		emptied.Lock()
		defer emptied.Unlock()
		emptied.names = append(emptied.names, settings.Schema)
	})
	return settings
}

// kept are the connections of finished tests, by purpose. A new connection loads the catalog caches and a
// new host checks the schema, which takes longer than most tests.
var kept struct {
	sync.Mutex
	pools map[string][]*pgxpool.Pool
}

// lasting returns connections of an earlier test, or new ones. The test must not damage them.
func lasting(t *testing.T, purpose string, open func() (*pgxpool.Pool, error)) (pool *pgxpool.Pool) {
	t.Helper()
	kept.Lock()
	defer kept.Unlock()
	if pools := kept.pools[purpose]; len(pools) > 0 {
		pool, kept.pools[purpose] = pools[len(pools)-1], pools[:len(pools)-1]
	} else {
		var err error
		if pool, err = open(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			pool.Close()
			return
		}
		kept.Lock()
		defer kept.Unlock()
		if kept.pools == nil {
			kept.pools = map[string][]*pgxpool.Pool{}
		}
		kept.pools[purpose] = append(kept.pools[purpose], pool)
	})
	return pool
}

// lastingStore opens a store, creating its tables, on connections from lasting.
func lastingStore(t *testing.T, settings Settings) *pgxpool.Pool {
	t.Helper()
	return lasting(t, settings.DSN+" "+settings.Schema, func() (*pgxpool.Pool, error) {
		o, err := connect(context.WithoutCancel(t.Context()), settings, quiet, true)
		if err != nil {
			return nil, err
		}
		return o.pool, nil
	})
}

// lastingHost is openHost on connections from lasting.
func lastingHost(t *testing.T, settings Settings) *Engine {
	t.Helper()
	return start(t, lastingStore(t, settings), settings)
}

// openEngine opens an engine over an empty store for the test.
func openEngine(t *testing.T) *Engine {
	t.Helper()
	return openHost(t, emptyStore(t))
}

// openHost opens an engine over a store that other hosts may have open.
func openHost(t *testing.T, settings Settings) *Engine {
	t.Helper()
	return start(t, mustOpen(t, settings).pool, settings)
}

// serve opens an engine on its own connections.
func serve(t *testing.T, config *pgxpool.Config, settings Settings) *Engine {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return start(t, pool, settings)
}

func start(t *testing.T, pool *pgxpool.Pool, settings Settings) *Engine {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	host, err := join(t.Context(), &opened{pool: pool, settings: settings}, logger)
	if err != nil {
		t.Fatal(err)
	}
	return startAs(t, pool, settings, host, logger)
}

// startAs starts an engine as a host.
func startAs(
	t *testing.T, pool *pgxpool.Pool, settings Settings, host *host, logger *slog.Logger,
) *Engine {
	t.Helper()
	schema := pgx.Identifier{settings.Schema}.Sanitize()
	e, err := newEngine(context.WithoutCancel(t.Context()), pool, schema, host, logger, defaultGathering)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.close()
		host.leave()
	})
	return e
}

func storesOf(e *Engine) storetest.Stores {
	return storetest.Stores{
		Tickets: e.Tickets(), Grants: e.Grants(), Logout: e.Logout(), Properties: e.Properties(),
		Kills: e.Kills(),
	}
}

// onlyLong skips a run of the suite besides TestConformance, except in long tests.
func onlyLong(t *testing.T) {
	t.Helper()
	if !testenv.Long() {
		t.Skip("only with SESSIONS_TEST_LONG")
	}
}

// The suite through the protocol, in this process. Only kills are specific to the engine: TestBuiltPlugin
// runs all cases, and the memory engine runs them for both kinds of calls.
func TestPlugin(t *testing.T) {
	t.Parallel()
	sections := []string{"Kills"}
	if testenv.Long() {
		sections = nil
	}
	plugintest.Run(t, func(t *testing.T) sessions.Backend {
		settings := emptyStore(t)
		e, err := Open(t.Context(), settings, slog.New(slog.NewTextHandler(t.Output(), nil)))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}, sections...)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) storetest.Fixture {
			settings := emptyStore(t)
			e := lastingHost(t, settings)
			t.Cleanup(func() { checkAfterwards(t, e) })
			return storetest.Fixture{
				Stores: storesOf(e), Transfer: e.Transfer(), Shared: true, Join: joinStore(t, settings),
			}
		},
	})
}

// joinStore returns a function that opens a store as another host.
func joinStore(t *testing.T, settings Settings) func() (other storetest.Fixture, leave func()) {
	return func() (storetest.Fixture, func()) {
		other, err := Open(context.WithoutCancel(t.Context()), settings, quiet)
		if err != nil {
			t.Fatal(err)
		}
		return storetest.Fixture{Stores: storesOf(other), Transfer: other.Transfer(), Shared: true},
			func() { _ = other.Close() }
	}
}

// checkAfterwards checks the store after a test.
func checkAfterwards(t *testing.T, e *Engine) {
	t.Helper()
	report, err := e.Check(context.WithoutCancel(t.Context()), CheckConfig{MaxFindings: 5})
	if err != nil || len(report.Findings) > 0 {
		t.Errorf("check after the test: %+v, %v", report, err)
	}
}
