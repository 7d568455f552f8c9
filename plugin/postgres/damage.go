package postgres

// Damaged rows: they are skipped, so that they do not block the rows after them.

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/records"
)

// scan returns the function that reads rows of a table. If lenient, it logs and marks damaged rows, which are
// otherwise an error.
func (g *group) scan(t *table, lenient bool) pgx.RowToFunc[*row] {
	strict := t.scan()
	if !lenient {
		return strict
	}
	return func(from pgx.CollectableRow) (*row, error) {
		r, err := strict(from)
		var damaged *damage
		if !errors.As(err, &damaged) {
			return r, err
		}
		if suppressed, ok := g.failures.Allow(time.Now()); ok { // callers can list it any number of times
			g.logger.WarnContext(g.ctx, "damaged row is not listed", "table", t.name,
				"key", damaged.row.printable(), "error", damaged, "lines_suppressed", suppressed)
		}
		damaged.row.damaged = true
		return damaged.row, nil
	}
}

// printable returns the key of a row for the log. That of a grant is bytes: a type and a hash.
func (r *row) printable() string {
	if t := tableOf(r.kind, r.now); t == grantTable || t == usedTable {
		return hex.EncodeToString([]byte(r.key))
	}
	return r.key
}

// concern is what a damaged row postpones.
type concern bool

const (
	wholeSession concern = true  // the session that the row belongs to
	rowAlone     concern = false // the row
)

// postponed is how much later a damaged row is due, so that it does not block others.
const postponed = time.Hour

// passingOver repeats f without what is damaged. Each of that is due later, and so met once.
func (e *Engine) passingOver(ctx context.Context, now time.Time, of concern, f func() error) error {
	for passed := map[string]bool{}; ; {
		err := f()
		var damaged *damage
		if !errors.As(err, &damaged) {
			return err
		}
		table, r := damaged.table, damaged.row
		if of == wholeSession {
			table, r = sessionTable, &row{kind: sessionTable.kind, key: sidOf(r)}
		}
		if r.key == "" || passed[table.name+r.key] {
			return err
		}
		passed[table.name+r.key] = true
		if of == wholeSession {
			e.logger.ErrorContext(ctx, "session is damaged and cannot end, retrying in an hour",
				"session_id", r.key, "error", damaged)
		} else {
			e.logger.ErrorContext(ctx, "row is damaged and skipped, retrying in an hour",
				"table", table.name, "key", r.printable(), "error", damaged)
		}
		_, err = scan(ctx, e, now, planOf("sweep"), func(t *tx) (none struct{}, err error) {
			t.extra = append(t.extra, postponement(table, r, records.Nanos(now.Add(postponed))))
			return none, nil
		})
		if err != nil {
			return err
		}
	}
}

// postponement returns the statement that makes a row due later.
func postponement(t *table, r *row, later int64) statement {
	var key any = r.key
	set, where := "due = $1", ""
	switch t {
	case noticeTable: // only a pending one is due, only another one may go
		set = "due = CASE WHEN due > 0 THEN $1::bigint END, over = CASE WHEN over > 0 THEN $1::bigint END"
	case grantTable:
		key = []byte(r.key[1:])
	case usedTable: // in the ring the column is the expiry
		key, where = []byte(r.key[1:]), fmt.Sprintf(" AND ring = %d", outside)
	}
	const sql = "UPDATE {s}.%s SET %s WHERE %s = $2%s"
	return statement{fmt.Sprintf(sql, t.name, set, t.columns[0].name, where), []any{later, key}}
}
