package schema

// The shape of the tables: whether they are as created by the migrations.

import (
	"context"
	_ "embed" // the shape
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// shape has a line for each column and index created by the embedded migrations. It is written by a test.
//
//go:embed shape.txt
var shape string

// columnsAndIndexes lists the columns and indexes of a schema, without its name.
const columnsAndIndexes = `
	SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
		|| CASE WHEN l.collname = 'C' THEN ' C' ELSE '' END
		|| CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
	FROM pg_catalog.pg_attribute a
	JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
	WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
	UNION ALL
	SELECT 'index ' || replace(replace(pg_get_indexdef(i.indexrelid), ' ' || $1 || '.', ' '),
		' ' || quote_ident($1) || '.', ' ')
	FROM pg_catalog.pg_index i
	JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND i.indisvalid`

// Shape returns the columns and indexes of a schema, a line each, sorted.
func Shape(ctx context.Context, db Querier, name string) ([]string, error) {
	rows, _ := db.Query(ctx, columnsAndIndexes, name) // the rows hold its error
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	slices.Sort(lines)
	return lines, err
}

// CheckShape returns ErrChanged if a column or an index of this program is missing. Additional ones may
// belong to an operator or a newer program.
func CheckShape(ctx context.Context, db Querier, name string) error {
	have, err := Shape(ctx, db, name)
	if err != nil {
		return err
	}
	var lacking []string
	for line := range strings.Lines(shape) {
		line = strings.TrimSpace(line)
		if _, found := slices.BinarySearch(have, line); !found {
			lacking = append(lacking, line)
		}
	}
	if len(lacking) > 0 {
		return fmt.Errorf(
			"%w: schema %q lacks %d of what the migrations made, such as %q: restore it, or import "+
				"a backup into an empty schema", ErrChanged, name, len(lacking), lacking[0])
	}
	return nil
}
