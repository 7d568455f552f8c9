package postgres

// The check of a store: every row is verified against the rules of rows, and against the columns, counts and
// sums derived from it. It reads one snapshot, and may run while hosts serve the store. Indexes are verified
// by the server's own extension amcheck, if installed.

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/internal/offline"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// The configuration and report of a check, shared by all engines.
type (
	// Report is the result of a check.
	Report = offline.Report
	// Finding is a fault found in a store.
	Finding = offline.Finding
	// CheckConfig configures a check and receives its progress.
	CheckConfig = offline.CheckConfig
)

// Check verifies the store. Its memory does not grow with the store.
func (e *Engine) Check(ctx context.Context, config CheckConfig) (*Report, error) {
	if config.MaxFindings <= 0 {
		config.MaxFindings = offline.DefaultMaxFindings
	}
	return answer(&call{ctx: ctx, admits: anyState}, e.look, func(t *tx) (*Report, error) {
		report := &Report{Findings: []Finding{}}
		c := &checker{tx: t, config: config, report: report, counted: map[transfer.Kind]transfer.Content{}}
		c.run()
		return report, t.err
	})
}

// checker checks in one snapshot.
type checker struct {
	*tx
	config      CheckConfig
	report      *Report
	counted     map[transfer.Kind]transfer.Content
	done, total int64
	// latest is the time of the latest write recorded in a row.
	latest int64
}

func (c *checker) run() {
	c.exec("SET LOCAL idle_in_transaction_session_timeout = 0")
	status, err := c.status("")
	if err != nil {
		return
	}
	c.report.State, c.report.Peer, c.total = status.State, status.Peer, status.Records()
	if status.State == transfer.Abandoned {
		return // it may be half emptied
	}
	for _, t := range tables {
		c.table(t)
	}
	c.totals(status)
	for i := range together {
		c.ask(&together[i])
	}
	if c.config.Ages {
		c.ages()
	}
	c.indexes()
}

func (c *checker) finding(table, id, format string, args ...any) {
	if len(c.report.Findings) >= c.config.MaxFindings {
		c.report.More = true
		return
	}
	c.report.Findings = append(c.report.Findings,
		Finding{Table: table, ID: id, Problem: fmt.Sprintf(format, args...)})
}

// progressEvery is the number of rows between two progress reports.
const progressEvery = 10_000

// table checks the rows of a table.
func (c *checker) table(t *table) {
	rows, err := c.conn.Query(c.ctx, c.sql("SELECT "+t.list+" FROM {s}."+t.name+" t"))
	if err != nil {
		c.fail(err)
		return
	}
	defer rows.Close()
	for rows.Next() {
		dest := t.destinations()
		if err := rows.Scan(dest...); err != nil {
			c.fail(err)
			return
		}
		if c.done++; c.config.Progress != nil && c.done%progressEvery == 0 {
			c.config.Progress(c.done, max(c.total, c.done))
		}
		r, err := t.scanned(dest)
		if err != nil {
			c.finding(t.name, "", "has a row that cannot be read: %v", err)
			continue
		}
		c.row(t, r, dest)
	}
	c.fail(rows.Err())
}

// row checks a row, and counts it unless it is an echo.
func (c *checker) row(t *table, r *row, dest []any) {
	echo := false
	for i, column := range t.columns {
		if column.name == "echo" {
			echo = *dest[i].(*bool)
		}
		// The row does not determine its partition, nor when an ended record is next due.
		if column.name == "data" || column.name == ringColumn.name || column.name == "echo" ||
			(t == endedTable && column.name == "due") {
			continue
		}
		made := reflect.ValueOf(column.array([]*row{r})).Index(0).Interface()
		if is := reflect.ValueOf(dest[i]).Elem().Interface(); !reflect.DeepEqual(is, made) {
			c.finding(t.name, idOf(r), "has a column %s that is not that of its record", column.name)
		}
	}
	if echo {
		c.report.Entries++
		return
	}
	c.report.Records++
	content := c.counted[r.kind]
	content.Add(cross(r.kind, r.key, r.now))
	c.counted[r.kind] = content
	for _, problem := range rules.Faults(r.kind, r.key, r.now) {
		c.finding(t.name, idOf(r), "%s", problem)
	}
	if s, ok := r.now.(*records.Session); ok {
		if s.GetIndexedDue() == 0 || s.GetIndexedDue() > records.Nanos(rules.Due(s)) {
			c.finding(t.name, idOf(r), "would be found due too late")
		}
	}
	c.latest = max(c.latest, writtenAt(r.now))
}

// idOf identifies a row by ids, never by the key of a session or a grant.
func idOf(r *row) string {
	switch r.kind {
	case transfer.Grants:
		ref := r.ref()
		return fmt.Sprintf("%s of session %q, number %x", ref.Type, grant(r).GetSessionId(),
			records.GrantSerial(ref))
	case transfer.Clients:
		sid, client := splitClient(r.key)
		return sid + " " + client
	}
	return r.key
}

// writtenAt returns the latest time of a write recorded in a record.
func writtenAt(m proto.Message) int64 {
	switch m := m.(type) {
	case *records.Session:
		return m.GetRenewed()
	case *records.Ended:
		return m.GetWhen()
	case *records.Operation:
		return m.GetWhen()
	case *records.Notification:
		return max(m.GetQueued(), m.GetLastAttempt())
	}
	return 0
}

// totals compares the counted contents with the slots' contents.
func (c *checker) totals(status *transfer.Status) {
	for _, kind := range transfer.Kinds {
		kept, counted := status.Content[kind], c.counted[kind]
		switch {
		case kept.Count != counted.Count:
			c.finding("slots", kind.String(), "say that there are %d, and there are %d", kept.Count,
				counted.Count)
		case kept.Sum != counted.Sum:
			c.finding("slots", kind.String(), "have a sum that the rows do not have")
		}
	}
	if status.State == transfer.Active && status.Left > 0 {
		c.finding("journal", "", "has %d entries, and the store is not exported", status.Left)
	}
}

// overdue is how long what a sweep removes may be late, in nanoseconds.
const overdue = int64(7 * 24 * time.Hour)

// ages finds rows that were due long ago.
func (c *checker) ages() {
	c.ask(&question{
		table: "ended", always: true, args: []any{c.latest - overdue},
		problem: "was to be looked at, and perhaps to go, more than a week before the latest write: " +
			"no host sweeps this store",
		sql: "SELECT sid FROM {s}.ended WHERE due < $1",
	})
}

// question asks for the ids of rows that are inconsistent with other rows.
type question struct {
	table, problem, sql string
	args                []any
	// always: also asked of a store that is being filled, whose rows were copied at different times.
	always bool
}

var together = []question{
	{
		table: "client_uses", problem: "is of a session that does not exist",
		sql: `SELECT u.sid || ' ' || u.client FROM {s}.client_uses u LEFT JOIN {s}.sessions s USING (sid)
			WHERE s.sid IS NULL`,
	},
	{
		table: "client_uses", problem: "is not listed by the creation of its session",
		sql: `SELECT u.sid || ' ' || u.client FROM {s}.client_uses u JOIN {s}.sessions s USING (sid)
			WHERE u.listed <> s.created`,
	},
	{
		table: "ended", problem: "judges the grants of a session that is there",
		sql: `SELECT e.sid FROM {s}.ended e JOIN {s}.sessions s USING (sid)`,
	},
	{
		table: "grants", problem: "is bound to a session that neither exists nor has left an ended record",
		sql: `SELECT g.sid || ', number ' || encode(g.serial, 'hex') FROM {s}.grants g
			WHERE g.sid IS NOT NULL AND g.type BETWEEN 1 AND 5
				AND NOT EXISTS (SELECT FROM {s}.sessions s WHERE s.sid = g.sid)
				AND NOT EXISTS (SELECT FROM {s}.ended e WHERE e.sid = g.sid)`,
	},
	{
		table: "used", problem: "stands in more than one partition, or is unused as well", always: true,
		sql: `SELECT encode(substr(sha256(set_byte('\x00'::bytea, 0, type) || key), 1, 8), 'hex') FROM (
				SELECT key, type FROM {s}.used UNION ALL SELECT key, type FROM {s}.grants) g
			GROUP BY key, type HAVING count(*) > 1`,
	},
	{
		// An echo without its operation is right if the operation's partition was emptied; otherwise the
		// counts are wrong.
		table: "operations", problem: "stands in more than one partition", always: true,
		sql: `SELECT id FROM {s}.operations GROUP BY id HAVING count(*) FILTER (WHERE NOT echo) > 1`,
	},
	{
		table: "client_counts", problem: "is not the number of its sessions",
		sql: `SELECT client FROM (
				SELECT client, sessions AS n FROM {s}.client_counts
				UNION ALL SELECT client, -1 FROM {s}.client_uses WHERE listed IS NOT NULL) c
			GROUP BY client HAVING sum(n) <> 0`,
	},
}

// ask reports the rows found by a question.
func (c *checker) ask(q *question) {
	if c.report.State == transfer.Importing && !q.always {
		return
	}
	for _, id := range c.strings(q.sql+fmt.Sprintf(" LIMIT %d", c.config.MaxFindings+1), q.args...) {
		c.finding(q.table, id, "%s", q.problem)
	}
}

// indexes makes the server verify each index against its table. This requires the extension amcheck and a
// role that may call it.
func (c *checker) indexes() {
	var function string
	err := c.conn.QueryRow(c.ctx, `SELECT coalesce((SELECT quote_ident(n.nspname) || '.bt_index_check'
		FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace
		WHERE x.extname = 'amcheck' AND has_function_privilege(to_regprocedure(
			quote_ident(n.nspname) || '.bt_index_check(regclass, boolean)'), 'EXECUTE')), '')`).
		Scan(&function)
	if err != nil || function == "" {
		c.fail(err)
		return
	}
	type index struct {
		ID   int64
		Name string
	}
	const askIndexes = `SELECT i.indexrelid::bigint, c.relname::text
		FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind = 'i' AND i.indisvalid ORDER BY 2`
	name := strings.Trim(c.schema, `"`)
	for _, i := range selected(c.group, pgx.RowToStructByPos[index], askIndexes, name) {
		if c.err != nil {
			return
		}
		// With a savepoint the transaction continues after an error of the check.
		c.exec("SAVEPOINT index")
		_, err := c.conn.Exec(c.ctx, "SELECT "+function+"($1::oid::regclass, true)", i.ID)
		if err != nil {
			c.finding(i.Name, "", "the index does not hold its table: %v", err)
		}
		c.exec("ROLLBACK TO SAVEPOINT index")
	}
}
