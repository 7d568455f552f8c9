package postgres

// Open: an unsuitable server, database or schema is refused with what to do about it.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

var quiet = slog.New(slog.DiscardHandler)

// open opens a store until the test's end.
func open(t *testing.T, settings Settings) (*opened, error) {
	t.Helper()
	return openWithin(t, t.Context(), settings)
}

func openWithin(
	t *testing.T,
	ctx context.Context,
	settings Settings,
) (*opened, error) {
	t.Helper()
	o, err := connect(ctx, settings, quiet, true)
	if err == nil {
		t.Cleanup(o.pool.Close)
	}
	return o, err
}

func mustOpen(t *testing.T, settings Settings) *opened {
	t.Helper()
	o, err := open(t, settings)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// refused opens a store, which must fail in time, with an error that contains these words and is the given
// one, if any.
func refused(t *testing.T, settings Settings, is error, words ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	began := time.Now()
	_, err := openWithin(t, ctx, settings)
	if err == nil {
		t.Fatalf("opened, want an error with %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q, want %q in it", err, word)
		}
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%q shows a password", err)
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("%v: want %v", err, is)
	}
	if took := time.Since(began); took > testenv.Patience {
		t.Errorf("it took %v", took)
	}
}

func TestOpenTwice(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	settings := Settings{DSN: dsn, Schema: name}
	first, second := mustOpen(t, settings), mustOpen(t, settings)
	if first.found.StoreID == "" || first.found.StoreID != second.found.StoreID {
		t.Errorf("ids %q and %q", first.found.StoreID, second.found.StoreID)
	}
	if first.asynchronous != "" {
		t.Errorf("a server with fsync: %s", first.asynchronous)
	}
}

// Two stores in one database have two schemas and share nothing.
func TestTwoStoresInOneDatabase(t *testing.T) {
	t.Parallel()
	server := pgserver.Shared(t)
	dsn, one := server.Schema(t)
	_, other := server.Schema(t)
	first, second := mustOpen(
		t,
		Settings{DSN: dsn, Schema: one},
	), mustOpen(
		t,
		Settings{DSN: dsn, Schema: other},
	)
	if first.found.StoreID == second.found.StoreID {
		t.Error("both are one store")
	}
}

func TestServerUnreachable(t *testing.T) {
	t.Parallel()
	refused(
		t,
		Settings{DSN: "host=" + t.TempDir() + " user=ann"},
		ticketstore.ErrUnavailable,
		"no PostgreSQL answers",
	)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	refused(
		t,
		Settings{DSN: "postgres://ann:s3cret@" + address + "/x"},
		ticketstore.ErrUnavailable,
		address,
		"refused",
	)
}

// An open of a server that does not answer fails in time.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, name := server.Schema(t)
	server.Pause(t)
	refused(t, Settings{DSN: dsn, Schema: name}, ticketstore.ErrUnavailable, "no PostgreSQL answers")
	// An attempt is under way when the time is up.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := openWithin(t, ctx, Settings{DSN: dsn + " connect_timeout=3", Schema: name})
	if !errors.Is(err, ticketstore.ErrUnavailable) || ctx.Err() != nil {
		t.Errorf("%v, %v, want ErrUnavailable before the deadline", err, ctx.Err())
	}
	server.Continue()
}

// A start waits for a server that does not answer at first, such as one behind a machine that is starting.
func TestOpenWaitsForASilentServer(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, name := server.Schema(t)
	server.Pause(t)
	log := &testenv.Log{}
	opened := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
		defer cancel()
		o, err := connect(ctx, Settings{DSN: dsn + " connect_timeout=1", Schema: name},
			slog.New(slog.NewTextHandler(log, nil)), true)
		if err == nil {
			o.pool.Close()
		}
		opened <- err
	}()
	testenv.Eventually(t, "the wait is logged, or the open has ended", func() bool {
		return len(opened) > 0 || strings.Contains(log.String(), "waiting for the database")
	})
	server.Continue()
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestMissingPrivileges(t *testing.T) {
	t.Parallel()
	server := pgserver.Shared(t)
	dsn, name := server.Schema(t)
	role := server.Role(t, "s3cret")
	refused(t, Settings{DSN: server.Loopback(role, "wrong"), Schema: name}, nil, "refuses the password", role)
	refused(t, Settings{DSN: dsn + " dbname=missing", Schema: name}, nil, "has no database", "missing")
	none := Settings{DSN: server.Loopback(role, "s3cret"), Schema: name}
	refused(t, none, nil, "no right", role, "CREATE on the database")
	mustOpen(t, Settings{DSN: dsn, Schema: name})
	refused(t, none, nil, "no right", role, name, "migrate -schema NAME -runtime-role "+role)

	// With some privileges the error names the missing ones, with all of them the store opens.
	server.Exec(
		t,
		"GRANT USAGE ON SCHEMA "+name+" TO "+role,
		"GRANT SELECT ON ALL TABLES IN SCHEMA "+name+" TO "+role,
	)
	refused(t, none, nil, "no right", "INSERT", "migrate -schema "+name+" -runtime-role")
	owner := mustOpen(t, Settings{DSN: dsn, Schema: name})
	conn, err := owner.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if err := schema.Grant(t.Context(), conn.Conn(), name, role); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, none)
}

// A schema with other contents is refused.
func TestWrongSchema(t *testing.T) {
	t.Parallel()
	server := pgserver.Shared(t)
	for name, c := range map[string]struct {
		statements []string // on a store
		fresh      bool     // without a store
		settings   Settings
		is         error
		says       []string
	}{
		"other tables": {
			fresh:      true,
			statements: []string{"CREATE SCHEMA {s}", "CREATE TABLE {s}.invoices (id int)"},
			is:         schema.ErrForeign, says: []string{"invoices", "another schema"},
		},
		"a newer program's": {
			statements: []string{
				"UPDATE {s}.ledger SET needs = 99", "UPDATE {s}.schema_version SET version = 99",
			},
			is: schema.ErrNewer, says: []string{"99"},
		},
		"changed by hand": {
			statements: []string{"ALTER TABLE {s}.hosts DROP knows"},
			is:         schema.ErrChanged, says: []string{"hosts.knows", "restore"},
		},
		"a missing index": {
			statements: []string{"DROP INDEX {s}.sessions_created"},
			is:         schema.ErrChanged, says: []string{"sessions_created"},
		},
		"without its row": {statements: []string{"DELETE FROM {s}.ledger"}, is: schema.ErrChanged},
		"no store, and none is to be created": {
			fresh: true, settings: Settings{Migrate: new(bool)},
			says: []string{"there is no store", "migrate"},
		},
		"partly migrated": {
			statements: []string{"UPDATE {s}.schema_version SET version = 0"},
			settings:   Settings{Migrate: new(bool)},
			is:         schema.ErrOlder, says: []string{"schema 0", "migrate"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := c.settings
			settings.DSN, settings.Schema = server.Schema(t)
			if !c.fresh {
				mustOpen(t, Settings{DSN: settings.DSN, Schema: settings.Schema})
			}
			for _, s := range c.statements {
				server.Exec(t, schema.Qualify(settings.Schema, s))
			}
			refused(t, settings, c.is, c.says...)
		})
	}
}

// An expanding migration of a newer program leaves what this one uses.
func TestExpandedByANewerProgram(t *testing.T) {
	t.Parallel()
	server := pgserver.Shared(t)
	dsn, name := server.Schema(t)
	settings := Settings{DSN: dsn, Schema: name}
	mustOpen(t, settings)
	for _, s := range []string{
		"ALTER TABLE {s}.hosts ADD remark text", "UPDATE {s}.schema_version SET version = version + 1",
	} {
		server.Exec(t, schema.Qualify(name, s))
	}
	mustOpen(t, settings)
}

func TestReadOnlyReplica(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, name := server.Schema(t)
	mustOpen(t, Settings{DSN: dsn, Schema: name}).pool.Close()
	server.Stop()
	signal := filepath.Join(server.Folder(), "data", "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	server.Begin(t)
	refused(t, Settings{DSN: dsn, Schema: name}, ticketstore.ErrUnavailable, "read-only replica")
	// A DSN of several servers of which none accepts writes.
	several := fmt.Sprintf("host=%s,%[1]s port=%d,%[2]d user=postgres target_session_attrs=read-write",
		server.Folder(), server.Port)
	refused(t, Settings{DSN: several, Schema: name}, ticketstore.ErrUnavailable, "read-only replica")
	server.Stop()
	if err := os.Remove(signal); err != nil {
		t.Fatal(err)
	}
	server.Begin(t)
}

func TestServerSettings(t *testing.T) {
	t.Parallel()
	server := pgserver.Shared(t)
	dsn, name := server.Schema(t)
	refused(
		t,
		Settings{DSN: dsn + " options='-c default_transaction_read_only=on'", Schema: name},
		ticketstore.ErrUnavailable, "read-only",
	)
	// Our connections set the isolation level; those of a pooler have that of the role.
	role := server.Role(t, "s3cret")
	server.Exec(t, "ALTER ROLE "+role+" SET default_transaction_isolation = 'repeatable read'")
	refused(
		t,
		Settings{DSN: server.Loopback(role, "s3cret"), Pooler: true, Schema: name},
		nil,
		"repeatable read",
		"read committed",
	)
	server.Exec(t, "GRANT CREATE ON DATABASE postgres TO "+role)
	mustOpen(t, Settings{DSN: server.Loopback(role, "s3cret"), Schema: name})
}

func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	server := pgserver.Shared(t)
	dsn, name := server.Schema(t)
	refused(
		t,
		Settings{DSN: dsn + " statement_timeout=1", Schema: name},
		ticketstore.ErrUnavailable,
		"canceling statement", // "due to statement timeout" or "due to user request"
		"SET statement_timeout",
	)
}

func TestConnectionsExhausted(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t, "max_connections=4", "superuser_reserved_connections=3")
	role := server.Role(t, "s3cret")
	_, name := server.Schema(t)
	server.Exec(t, "GRANT CREATE ON DATABASE postgres TO "+role)
	settings := Settings{DSN: server.Loopback(role, "s3cret"), Schema: name}
	first := mustOpen(t, settings)
	conn, err := first.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refused(t, settings, ticketstore.ErrUnavailable, "no connection to spare")
	conn.Release()
}

// Asynchronous commits, which a crash may lose, are accepted with a warning.
func TestAsynchronousCommits(t *testing.T) {
	t.Parallel()
	server := pgserver.Shared(t)
	dsn, name := server.Schema(t)
	if o := mustOpen(t, Settings{DSN: dsn + " synchronous_commit=off", Schema: name}); !strings.Contains(
		o.asynchronous, "synchronous_commit is off") {
		t.Errorf("warning %q", o.asynchronous)
	}
	log := &testenv.Log{}
	e, err := Open(t.Context(), Settings{DSN: dsn + " synchronous_commit=off", Schema: name},
		slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_ = e.Close()
	for _, word := range []string{
		"level=WARN", "COMMITS ARE NOT DURABLE", "synchronous_commit is off", "synchronous_standbys=none",
	} {
		if said := log.String(); !strings.Contains(said, word) {
			t.Errorf("no %q in the log: %s", word, said)
		}
	}
	for text, s := range map[string]serverFacts{
		"":       {fsync: "on", synchronous: "on"},
		"fsync":  {fsync: "off", synchronous: "on"},
		"failov": {fsync: "on", synchronous: "local", standbys: "*"},
		"empty":  {fsync: "on", synchronous: "on", multipleServers: true},
	} {
		if says := s.asynchronous(); !strings.Contains(says, text) || (text == "") != (says == "") {
			t.Errorf("%+v: %q", s, says)
		}
	}
}

// A host is refused if its clock is more than two seconds fast or slow.
func TestClockOff(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	off := func(by time.Duration) Settings {
		return Settings{DSN: dsn, Schema: name, now: func() time.Time { return time.Now().Add(by) }}
	}
	refused(t, off(time.Minute), ticketstore.ErrUnavailable, "ahead of", "NTP")
	refused(t, off(-time.Minute), ticketstore.ErrUnavailable, "behind", "NTP")
	mustOpen(t, off(time.Second))
}

// Only the expected store is opened, and none is created instead (rule 11).
func TestOtherStore(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	settings := Settings{DSN: dsn, Schema: name}
	pinned := ticketstore.WithStoreIDs(t.Context(), "another")
	if _, err := openWithin(t, pinned, settings); !errors.Is(err, ticketstore.ErrOtherStore) {
		t.Errorf("an empty schema: %v", err)
	}
	o := mustOpen(t, settings)
	if _, err := openWithin(t, pinned, settings); !errors.Is(err, ticketstore.ErrOtherStore) {
		t.Errorf("another store: %v", err)
	}
	if _, err := openWithin(t, ticketstore.WithStoreIDs(t.Context(), o.found.StoreID), settings); err != nil {
		t.Errorf("the store: %v", err)
	}
}
