package schema

// Running migrations.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"
)

// clock is the database's time, in nanoseconds since 1970.
const clock = `(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint`

// HostSilence is how long after its last beat a host counts as running, in seconds.
const HostSilence = 60

// Migrate migrates a schema to the newest number known to the program, creating it if it is missing. A store
// with a higher number is left unchanged. Each migration is one transaction; a lock serializes callers, so
// that the others find it done. A contracting migration returns ErrHosts while a host with an older program
// is registered. The connection must not go through a pooler.
func (p *Program) Migrate(ctx context.Context, conn *pgx.Conn, name string) (from, to int, err error) {
	if err := create(ctx, conn, name); err != nil {
		return 0, 0, err
	}
	// tern holds its own lock while it creates its table and while it migrates, but not in between.
	table := pgx.Identifier{name, versionTable}.Sanitize()
	migrator, err := migrate.NewMigrator(ctx, conn, table)
	if err != nil {
		return 0, 0, err
	}
	current, err := migrator.GetCurrentVersion(ctx)
	if err != nil {
		return 0, 0, err
	}
	from, to = int(current), max(int(current), p.Newest())
	if from >= p.Newest() {
		return from, to, nil
	}
	for i, s := range p.steps {
		migrator.Migrations = append(migrator.Migrations, &migrate.Migration{
			Sequence: int32(i + 1), Name: s.name,
			UpFunc: func(ctx context.Context, conn *pgx.Conn) error { return s.run(ctx, conn, name, i == 0) },
		})
	}
	err = migrator.Migrate(ctx)
	if _, newer := errors.AsType[migrate.BadVersionError](err); newer { // a newer program was faster
		err = nil
	}
	if err != nil {
		return from, from, fmt.Errorf("migrate schema %q from %d to %d: %w", name, from, to, err)
	}
	return from, to, nil
}

// create creates the schema, and refuses a schema with other tables. The lock serializes two programs that
// start concurrently: IF NOT EXISTS does not.
func create(ctx context.Context, conn *pgx.Conn, name string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, name); err != nil {
			return err
		}
		found, err := Look(ctx, tx, name)
		if err != nil || !found.Missing {
			return err
		}
		_, err = tx.Exec(ctx, Qualify(name, `CREATE SCHEMA {s}`))
		return err
	})
}

// run runs one migration in tern's transaction.
func (s *step) run(ctx context.Context, conn *pgx.Conn, name string, first bool) error {
	if !first {
		if err := s.admit(ctx, conn, name); err != nil {
			return err
		}
	}
	if _, err := conn.Exec(ctx, Qualify(name, s.sql)); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if first {
		_, err := conn.Exec(ctx, Qualify(name, `INSERT INTO {s}.ledger (needs, store_id) VALUES ($1, $2)`),
			s.needs, rand.Text())
		return err
	}
	_, err := conn.Exec(ctx, Qualify(name, `UPDATE {s}.ledger SET needs = greatest(needs, $1)`), s.needs)
	return err
}

// admit refuses a contracting migration while a host is registered whose program it would exclude. It locks
// the ledger's row, of which a registering host holds a share lock: that host sees the new needs, or is seen
// here.
func (s *step) admit(ctx context.Context, conn *pgx.Conn, name string) error {
	var needs int
	err := conn.QueryRow(ctx, Qualify(name, `SELECT needs FROM {s}.ledger FOR UPDATE`)).Scan(&needs)
	if err != nil || needs >= s.needs {
		return err
	}
	// The rows have the error of the query.
	rows, _ := conn.Query(ctx, Qualify(name, `SELECT name || ' (version ' || version || ')' FROM {s}.hosts
		WHERE knows < $1 AND beat > `+clock+` - $2::bigint * 1000000000 ORDER BY 1`), s.needs, HostSilence)
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: %s: upgrade them first, this migration takes away what they use", ErrHosts,
			strings.Join(left, ", "))
	}
	return nil
}

// Emptied is a condition on pg_class c. It selects the tables that a program empties as a whole: expired
// partitions, and all tables with records before a store is filled.
const Emptied = `c.relkind IN ('r', 'p')
	AND c.relname NOT IN ('` + versionTable + `', 'ledger', 'slots', 'hosts', 'journal')`

// Grant grants a role what a program needs at run time: to read, write and empty tables, but not to own or
// change one.
func Grant(ctx context.Context, conn *pgx.Conn, name, role string) error {
	to := ` TO ` + pgx.Identifier{role}.Sanitize()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT c.relname::text FROM pg_catalog.pg_class c
			JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = $1 AND `+Emptied, name) // the rows hold its error
		emptied, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		statements := []string{
			`GRANT USAGE ON SCHEMA {s}`,
			`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {s}`,
		}
		for _, table := range emptied {
			statements = append(statements, `GRANT TRUNCATE ON {s}.`+pgx.Identifier{table}.Sanitize())
		}
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, Qualify(name, statement)+to); err != nil {
				return fmt.Errorf("%s%s: %w", statement, to, err)
			}
		}
		// Only migrations may change these.
		from := strings.Replace(to, "TO", "FROM", 1)
		for _, statement := range []string{
			`REVOKE INSERT, UPDATE, DELETE ON {s}.` + versionTable + from,
			`REVOKE INSERT, UPDATE, DELETE ON {s}.ledger` + from,
			`GRANT UPDATE (state, move, peer, peer_store, origin, acknowledged, moved) ON {s}.ledger` + to,
		} {
			if _, err := tx.Exec(ctx, Qualify(name, statement)); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}
