// Package schema makes and changes the tables of a store: it has the migrations, runs them, and says
// whether a program fits to the tables that it finds.
//
// A store has two numbers. Its schema is the number of the last migration. It needs a program that knows at
// least another number. An expanding migration adds what older programs do not miss, and leaves what is
// needed; a contracting one takes away what they use, raises it, and is refused while a host runs such a
// program. So the programs of two releases work on one store while the hosts are replaced one by one.
package schema

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"
)

//go:embed migrations/*.sql
var embedded embed.FS

// versionTable has the number of the last migration. Its form is tern's.
const versionTable = "schema_version"

// validName are the names that a schema may have: none needs quotes, none is one of the server's.
var validName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// ValidName reports whether a schema may have that name: at most 63 of a to z, 0 to 9 and _, not a digit
// first, not one of the server's.
func ValidName(name string) bool {
	return validName.MatchString(name) && !strings.HasPrefix(name, "pg_") && name != "information_schema"
}

// Qualify replaces {s} by the name of the schema, as every statement has it.
func Qualify(name, statement string) string {
	return strings.ReplaceAll(statement, "{s}", pgx.Identifier{name}.Sanitize())
}

// step is one migration.
type step struct {
	name  string
	sql   string
	needs int // the oldest program that may use the store afterwards
}

// Program is what a program knows of the tables: its migrations.
type Program struct{ steps []step }

// Embedded returns what this program knows.
func Embedded() *Program {
	files, err := fs.Sub(embedded, "migrations")
	if err == nil {
		var p *Program
		if p, err = Load(files); err == nil {
			return p
		}
	}
	panic("embedded migrations: " + err.Error()) // a test reads them
}

var needsLine = regexp.MustCompile(`\A-- needs: (\d+)\n`)

// Load reads migrations: files named 001_WORD.sql and on, whose first line is "-- needs: N". A migration that
// raises N is a contracting one.
func Load(files fs.FS) (*Program, error) {
	names, err := migrate.FindMigrations(files)
	if err != nil {
		return nil, err
	}
	p := &Program{}
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		line := needsLine.FindSubmatch(text)
		if line == nil {
			return nil, fmt.Errorf(`%s: the first line is not "-- needs: N"`, name)
		}
		needs, err := strconv.Atoi(string(line[1]))
		if err != nil || needs < 1 || needs > i+1 || (i > 0 && needs < p.steps[i-1].needs) {
			return nil, fmt.Errorf("%s: needs %s: that is beyond its own number, or less than before", name,
				line[1])
		}
		p.steps = append(p.steps, step{name, string(text), needs})
	}
	if len(p.steps) == 0 {
		return nil, errors.New("there are no migrations")
	}
	return p, nil
}

// Newest is the number of the last migration that the program knows.
func (p *Program) Newest() int { return len(p.steps) }

// Found is what lies in a schema.
type Found struct {
	// Missing: there is no such schema. Empty: it has no tables, but for what a migration that was
	// interrupted left.
	Missing, Empty bool
	// Schema is the number of the last migration, Needs the oldest program that may use the store.
	Schema, Needs int
	// StoreID names the data.
	StoreID string
}

// The reasons for which a store is refused.
var (
	// ErrForeign: the schema has tables, and they are not those of a store.
	ErrForeign = errors.New("the schema belongs to something else")
	// ErrNewer: the store needs a newer program.
	ErrNewer = errors.New("the store needs a newer program")
	// ErrOlder: the store has the tables of an older program and was not migrated.
	ErrOlder = errors.New("the store is not migrated")
	// ErrChanged: the tables are not as the migrations made them.
	ErrChanged = errors.New("the tables were changed by hand")
	// ErrHosts: a host runs a program that the migration would leave behind.
	ErrHosts = errors.New("hosts with an older program use the store")
)

// Querier asks the server: a connection, a pool or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Look says what lies in a schema. Tables of something else are ErrForeign.
func Look(ctx context.Context, db Querier, name string) (*Found, error) {
	var there bool
	var tables []string
	err := db.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1),
			ARRAY(SELECT c.relname::text FROM pg_catalog.pg_class c
				JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
				WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1)`,
		name).Scan(&there, &tables)
	if err != nil {
		return nil, err
	}
	ours, versioned := slices.Contains(tables, "ledger"), slices.Contains(tables, versionTable)
	switch {
	case !there:
		return &Found{Missing: true, Empty: true}, nil
	case len(tables) == 0, len(tables) == 1 && versioned:
		return &Found{Empty: true}, nil
	case !ours || !versioned:
		return nil, fmt.Errorf(
			"%w: %q has the tables %s: name another schema, or another database",
			ErrForeign,
			name,
			strings.Join(tables[:min(len(tables), 5)], ", "),
		)
	}
	found := &Found{}
	err = db.QueryRow(ctx, Qualify(name, `SELECT v.version, l.needs, l.store_id FROM {s}.`+versionTable+
		` v, {s}.ledger l`)).Scan(&found.Schema, &found.Needs, &found.StoreID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%w: %q has a table \"ledger\" without its row", ErrChanged, name)
	}
	return found, err
}

// Fits reports whether the program may use a store: not one that needs a newer program, nor one that was not
// migrated.
func (p *Program) Fits(found *Found) error {
	switch {
	case found.Needs > p.Newest():
		return fmt.Errorf(
			"%w: it has schema %d and needs a program of schema %d, this one knows %d",
			ErrNewer,
			found.Schema,
			found.Needs,
			p.Newest(),
		)
	case found.Schema < p.Newest():
		return fmt.Errorf(
			"%w: it has schema %d, this program wants %d: run `sessions-postgres migrate` as the "+
				"owner of the tables",
			ErrOlder,
			found.Schema,
			p.Newest(),
		)
	}
	return nil
}
