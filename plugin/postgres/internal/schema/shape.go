package schema

// The shape of the tables: whether they still are as the migrations made them.

import (
	"context"
	_ "embed" // the shape
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// shape has a line for each column and index that the embedded migrations make. A test writes it.
//
//go:embed shape.txt
var shape string

// columnsAndIndexes describe the tables of a schema, in a form that does not have its name.
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

// Shape describes the tables of a schema: its columns and indexes, a line each, sorted.
func Shape(ctx context.Context, db Querier, name string) ([]string, error) {
	rows, err := db.Query(ctx, columnsAndIndexes, name)
	if err != nil {
		return nil, err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	slices.Sort(lines)
	return lines, err
}

// CheckShape refuses tables that lack a column or an index of this program's as ErrChanged. What is there
// besides is an operator's own, or a newer program's.
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
				"a backup into an empty schema",
			ErrChanged,
			name,
			len(lacking),
			lacking[0],
		)
	}
	return nil
}
