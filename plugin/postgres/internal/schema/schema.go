// Package schema creates and migrates the tables of a store, and decides whether a program is compatible with
// the tables that it finds.
//
// A store has two numbers. Its schema is the number of the last migration. Its needs is the lowest number
// that a program must know. An expanding migration adds what older programs do not miss, and leaves needs
// unchanged; a contracting migration removes what they use, raises needs, and is refused while a host runs
// such a program. So the programs of two releases can use one store while hosts are replaced one by one.
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

// versionTable holds the number of the last migration, in tern's format.
const versionTable = "schema_version"

// validName matches the allowed names of a schema: none needs quotes, none is reserved by the server.
var validName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// ValidName reports whether a schema may have that name: at most 63 of a-z, 0-9 and _, not beginning with a
// digit, and not reserved by the server.
func ValidName(name string) bool {
	return validName.MatchString(name) && !strings.HasPrefix(name, "pg_") && name != "information_schema"
}

// Qualify replaces {s} in a statement by the name of the schema.
func Qualify(name, statement string) string {
	return strings.ReplaceAll(statement, "{s}", pgx.Identifier{name}.Sanitize())
}

// step is one migration.
type step struct {
	name  string
	sql   string
	needs int // the oldest program that may use the store afterwards
}

// Program holds the migrations known to a program.
type Program struct{ steps []step }

// Embedded returns the migrations of this program.
func Embedded() *Program {
	files, err := fs.Sub(embedded, "migrations")
	if err == nil {
		var p *Program
		if p, err = Load(files); err == nil {
			return p
		}
	}
	panic("embedded migrations: " + err.Error()) // covered by a test
}

var needsLine = regexp.MustCompile(`\A-- needs: (\d+)\n`)

// Load reads migrations: files named 001_WORD.sql and so on, whose first line is "-- needs: N". A migration
// that raises N is a contracting one.
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

// Newest returns the number of the last migration.
func (p *Program) Newest() int { return len(p.steps) }

// Found describes a schema.
type Found struct {
	// Missing: there is no such schema. Empty: it has no tables except those left by an interrupted
	// migration.
	Missing, Empty bool
	// Schema is the number of the last migration, Needs the oldest program that may use the store.
	Schema, Needs int
	// StoreID is the id of the data.
	StoreID string
}

// Reasons for refusing a store.
var (
	// ErrForeign means that the schema has tables other than those of a store.
	ErrForeign = errors.New("the schema belongs to something else")
	// ErrNewer means that the store needs a newer program.
	ErrNewer = errors.New("the store needs a newer program")
	// ErrOlder means that the store has the tables of an older program and was not migrated.
	ErrOlder = errors.New("the store is not migrated")
	// ErrChanged means that the tables are not as created by the migrations.
	ErrChanged = errors.New("the tables were changed by hand")
	// ErrHosts means that a host runs a program with which the migration would be incompatible.
	ErrHosts = errors.New("hosts with an older program use the store")
)

// Querier is a connection, a pool or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Look describes a schema. It returns ErrForeign if the schema has other tables.
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
		return nil, fmt.Errorf("%w: %q has the tables %s: name another schema, or another database",
			ErrForeign, name, strings.Join(tables[:min(len(tables), 5)], ", "))
	}
	found := &Found{}
	err = db.QueryRow(ctx, Qualify(name, `SELECT v.version, l.needs, l.store_id FROM {s}.`+versionTable+
		` v, {s}.ledger l`)).Scan(&found.Schema, &found.Needs, &found.StoreID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%w: %q has a table \"ledger\" without its row", ErrChanged, name)
	}
	return found, err
}

// Fits returns an error if the program cannot use a store: it needs a newer program, or was not migrated.
func (p *Program) Fits(found *Found) error {
	switch {
	case found.Needs > p.Newest():
		return fmt.Errorf("%w: it has schema %d and needs a program of schema %d, this one knows %d",
			ErrNewer, found.Schema, found.Needs, p.Newest())
	case found.Schema < p.Newest():
		return fmt.Errorf(
			"%w: it has schema %d, this program wants %d: run `sessions-postgres migrate` as the "+
				"owner of the tables", ErrOlder, found.Schema, p.Newest())
	}
	return nil
}
