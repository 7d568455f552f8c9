package schema_test

// Migrations on a real server.

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

// fresh returns a connection and the name of a schema that does not exist yet.
func fresh(t *testing.T) (conn *pgx.Conn, name string) {
	t.Helper()
	dsn, name := pgserver.Shared(t).Schema(t)
	return connect(t, dsn), name
}

func exec(t *testing.T, conn *pgx.Conn, name string, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), schema.Qualify(name, s)); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func migrated(t *testing.T, p *schema.Program, conn *pgx.Conn, name string) *schema.Found {
	t.Helper()
	if _, _, err := p.Migrate(t.Context(), conn, name); err != nil {
		t.Fatal(err)
	}
	return look(t, conn, name)
}

func look(t *testing.T, conn *pgx.Conn, name string) *schema.Found {
	t.Helper()
	found, err := schema.Look(t.Context(), conn, name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestMigrateTwice(t *testing.T) {
	t.Parallel()
	conn, name := fresh(t)
	p := schema.Embedded()
	if found := look(t, conn, name); !found.Missing {
		t.Errorf("before: %+v", found)
	}
	first := migrated(t, p, conn, name)
	if first.Schema != p.Newest() || first.Needs < 1 || first.StoreID == "" {
		t.Errorf("after: %+v", first)
	}
	if err := p.Fits(first); err != nil {
		t.Error(err)
	}
	if again := migrated(t, p, conn, name); *again != *first {
		t.Errorf("migrated again: %+v, before: %+v", again, first)
	}
}

// Programs that start concurrently create one store.
func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		conn := connect(t, dsn)
		all.Go(func() { _, _, errs[i] = schema.Embedded().Migrate(t.Context(), conn, name) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if err := schema.CheckShape(t.Context(), connect(t, dsn), name); err != nil {
		t.Error(err)
	}
}

// program is this program with additional migrations.
func program(t *testing.T, more ...string) *schema.Program {
	t.Helper()
	files := fstest.MapFS{}
	for i, text := range more {
		files[fmt.Sprintf("%03d_test.sql", i+1)] = &fstest.MapFile{Data: []byte(text)}
	}
	p, err := schema.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	base = `-- needs: 1
CREATE TABLE {s}.ledger (needs integer, store_id text, state smallint, move text, peer text, origin text);
CREATE TABLE {s}.hosts (name text, version text, knows integer, beat bigint);
CREATE TABLE {s}.kept (a int, b int)`
	expand   = "-- needs: 1\nALTER TABLE {s}.kept ADD c int"
	contract = "-- needs: 2\nALTER TABLE {s}.kept DROP a"
)

// An older program works after an expanding migration and is refused after a contracting one, which is
// refused while older hosts are active.
func TestExpandAndContract(t *testing.T) {
	t.Parallel()
	conn, name := fresh(t)
	first, second, third := program(t, base), program(t, base, expand), program(t, base, expand, contract)
	migrated(t, first, conn, name)
	expanded := migrated(t, second, conn, name)
	if expanded.Schema != 2 || expanded.Needs != 1 {
		t.Errorf("expanded: %+v", expanded)
	}
	if err := errors.Join(first.Fits(expanded), second.Fits(expanded)); err != nil {
		t.Error(err)
	}
	if err := third.Fits(expanded); !errors.Is(err, schema.ErrOlder) {
		t.Errorf("a program of a newer schema: %v", err)
	}
	exec(t, conn, name,
		`INSERT INTO {s}.hosts VALUES ('one', 'v1', 1, (extract(epoch FROM now()) * 1e9)::bigint)`)
	_, _, err := third.Migrate(t.Context(), conn, name)
	if !errors.Is(err, schema.ErrHosts) || !strings.Contains(err.Error(), "one (version v1)") {
		t.Fatalf("contract with an older host: %v", err)
	}
	if now := look(t, conn, name); *now != *expanded {
		t.Errorf("after a refusal: %+v", now)
	}
	exec(t, conn, name, `UPDATE {s}.hosts SET beat = beat - 61e9`) // silent for a minute
	contracted := migrated(t, third, conn, name)
	if err := first.Fits(contracted); !errors.Is(err, schema.ErrNewer) {
		t.Errorf("the first program on a contracted store: %v", err)
	}
	if err := errors.Join(second.Fits(contracted), third.Fits(contracted)); err != nil {
		t.Error(err)
	}
	// A migration by the older program succeeds and changes nothing.
	if now := migrated(t, second, conn, name); *now != *contracted {
		t.Errorf("migrated by an older program: %+v", now)
	}
}

// A failed migration changes nothing, and the next attempt completes it.
func TestHalfMigrated(t *testing.T) {
	t.Parallel()
	conn, name := fresh(t)
	migrated(t, program(t, base), conn, name)
	bad := program(t, base, expand, "-- needs: 1\nCREATE TABLE {s}.half (a int); SELECT 1/0")
	_, _, err := bad.Migrate(t.Context(), conn, name)
	var failed *pgconn.PgError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "003_test.sql") {
		t.Fatalf("a migration that fails: %v", err)
	}
	found := look(t, conn, name)
	if found.Schema != 2 {
		t.Errorf("after the failure: %+v", found)
	}
	if err := bad.Fits(found); !errors.Is(err, schema.ErrOlder) || !strings.Contains(err.Error(), "migrate") {
		t.Errorf("a partly migrated store: %v", err)
	}
	if now := migrated(t, program(t, base, expand, contract), conn, name); now.Schema != 3 {
		t.Errorf("after the next attempt: %+v", now)
	}
}

func TestForeignSchema(t *testing.T) {
	t.Parallel()
	conn, name := fresh(t)
	exec(t, conn, name, `CREATE SCHEMA {s}`, `CREATE TABLE {s}.invoices (id int)`)
	_, err := schema.Look(t.Context(), conn, name)
	if !errors.Is(err, schema.ErrForeign) || !strings.Contains(err.Error(), "invoices") {
		t.Errorf("look: %v", err)
	}
	if _, _, err := schema.Embedded().Migrate(t.Context(), conn, name); !errors.Is(err, schema.ErrForeign) {
		t.Errorf("migrate: %v", err)
	}
}

// The checked shape equals that of the migrations. SESSIONS_WRITE_SHAPE=1 writes it.
func TestShape(t *testing.T) {
	t.Parallel()
	conn, name := fresh(t)
	migrated(t, schema.Embedded(), conn, name)
	if os.Getenv("SESSIONS_WRITE_SHAPE") != "" {
		lines, err := schema.Shape(t.Context(), conn, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("shape.txt", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile("shape.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := schema.Shape(t.Context(), conn, name)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Split(strings.TrimSpace(string(text)), "\n"); !slices.Equal(lines, want) {
		t.Errorf("shape.txt is stale, it has %d lines and the tables %d: run this test with "+
			"SESSIONS_WRITE_SHAPE=1", len(want), len(lines))
	}
	exec(t, conn, name, `ALTER TABLE {s}.hosts ADD remark text`)
	if err := schema.CheckShape(t.Context(), conn, name); err != nil {
		t.Errorf("with an additional column: %v", err)
	}
	exec(t, conn, name, `ALTER TABLE {s}.hosts ALTER knows TYPE bigint`)
	if err := schema.CheckShape(t.Context(), conn, name); !errors.Is(err, schema.ErrChanged) ||
		!strings.Contains(err.Error(), "hosts.knows integer") {
		t.Errorf("with another type: %v", err)
	}
}

// The run-time role can read and write. It can neither change tables nor raise the schema that a store needs.
func TestRuntimeRole(t *testing.T) {
	t.Parallel()
	server := pgserver.Shared(t)
	conn, name := fresh(t)
	migrated(t, schema.Embedded(), conn, name)
	role := server.Role(t, "secret")
	if err := schema.Grant(t.Context(), conn, name, role); err != nil {
		t.Fatal(err)
	}
	runtime := connect(t, server.Loopback(role, "secret"))
	// The tables that a move writes and empties: see become.
	exec(t, runtime, name, `UPDATE {s}.ledger SET state = 0, move = '', peer = '', peer_store = '',
			origin = '', acknowledged = 0, moved = 0`,
		`INSERT INTO {s}.hosts (instance, name, version, knows, joined, beat)
			VALUES ('i', 'n', 'v', 1, 1, 1)`,
		`TRUNCATE {s}.sessions, {s}.used, {s}.client_counts`)
	for _, forbidden := range []string{
		`UPDATE {s}.ledger SET needs = 9`, `DELETE FROM {s}.ledger`,
		`UPDATE {s}.schema_version SET version = 9`, `ALTER TABLE {s}.hosts ADD remark text`,
		`DROP TABLE {s}.hosts`,
		`TRUNCATE {s}.hosts`,
		`CREATE TABLE {s}.more (a int)`,
	} {
		_, err := runtime.Exec(t.Context(), schema.Qualify(name, forbidden))
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v, want it refused", forbidden, err)
		}
	}
}

func TestBadMigrations(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]fstest.MapFS{
		"no line":  {"001_a.sql": {Data: []byte("SELECT 1")}},
		"too much": {"001_a.sql": {Data: []byte("-- needs: 2\n")}},
		"less": {
			"001_a.sql": {Data: []byte("-- needs: 1\n")}, "002_a.sql": {Data: []byte("-- needs: 2\n")},
			"003_a.sql": {Data: []byte("-- needs: 1\n")},
		},
		"a missing number": {"002_a.sql": {Data: []byte("-- needs: 1\n")}},
		"none at all":      {},
	} {
		if _, err := schema.Load(files); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
