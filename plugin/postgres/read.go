package postgres

// Reads of a transaction: rows by key or index, each once, batched into as few round trips as possible.

import (
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// query reads rows of a table. In a transaction that changes rows they are locked in key order.
type query struct {
	table *table
	where string
	args  []any
}

func (g *group) text(q *query) string {
	sql := fmt.Sprintf("SELECT %s FROM {s}.%s t WHERE %s", q.table.list, q.table.name, q.where)
	if g.locks && !q.table.guarded {
		sql += " ORDER BY t." + q.table.columns[0].name + " FOR UPDATE OF t"
	}
	return g.sql(sql)
}

// read runs queries in one pipeline and returns the rows of each that are new to the group.
func (g *group) read(queries ...query) [][]*row {
	if g.sealed {
		g.fail(errIncomplete)
	}
	return g.pipeline(&pgx.Batch{}, func(pgx.BatchResults) error { return nil }, queries)
}

// begin begins a transaction with the statement sql.
func (g *group) begin(sql string) {
	for _, s := range beginning(g.pooled, sql) {
		g.exec(s.sql)
	}
}

// start begins a transaction, runs a first statement, whose row is passed to head, and then queries, in one
// pipeline.
func (g *group) start(begin string, first statement, head func(row pgx.Row) error, queries ...query) {
	statements := append(beginning(g.pooled, begin), first)
	g.pipeline(g.batch(statements), func(results pgx.BatchResults) error {
		for range len(statements) - 1 {
			if _, err := results.Exec(); err != nil {
				return err
			}
		}
		return head(results.QueryRow())
	}, queries)
}

// pipeline runs queries after the statements of a batch, whose results are passed to head, in one round trip.
func (g *group) pipeline(
	batch *pgx.Batch, head func(results pgx.BatchResults) error, queries []query,
) [][]*row {
	found := make([][]*row, len(queries))
	if g.err != nil || batch.Len()+len(queries) == 0 {
		return found
	}
	for i := range queries {
		batch.Queue(g.text(&queries[i]), queries[i].args...)
	}
	if g.sealed {
		batch.Queue("COMMIT")
	}
	results := g.conn.SendBatch(g.ctx, batch)
	defer func() { g.fail(results.Close()) }()
	g.fail(head(results))
	for i := range queries {
		if g.err == nil {
			found[i] = g.collect(results, queries[i].table)
		}
	}
	return found
}

func (e *Engine) batch(statements []statement) *pgx.Batch {
	batch := &pgx.Batch{}
	for _, s := range statements {
		batch.Queue(e.sql(s.sql), s.args...)
	}
	return batch
}

// collect adds the rows of the next result to the group.
func (g *group) collect(results pgx.BatchResults, t *table) (found []*row) {
	rows, _ := results.Query() // the rows hold its error
	list, err := pgx.CollectRows(rows, g.scan(t, g.lenient))
	g.fail(err)
	for _, r := range list {
		if r.damaged || g.over(r) {
			continue
		}
		if kept, new := g.take(r); new {
			found = append(found, kept)
		}
	}
	return found
}

// take adds a row that was read, unless the group has it: that row is as recent, because it is locked or from
// the same snapshot, and may have been changed. A row that was missing before may exist now.
func (g *group) take(r *row) (kept *row, new bool) {
	name := nameOf(r.kind, r.key)
	known := g.rows[name]
	if known == nil || (known.was == nil && known.now == nil) {
		if known != nil {
			*known = *r
			return known, true
		}
		return g.add(name, r), true
	}
	return known, false
}

// add adds a row under its name.
func (g *group) add(name name, r *row) *row {
	g.rows[name] = r
	switch r.kind {
	case transfer.Clients:
		sid, _ := splitClient(r.key)
		g.uses[sid] = append(g.uses[sid], r)
	case transfer.Grants:
		g.grants = append(g.grants, r)
	}
	return r
}

// name identifies a row.
type name struct {
	kind transfer.Kind
	key  string
}

func nameOf(kind transfer.Kind, key string) name { return name{kind, key} }

// row returns the row of a key, which may not exist, reading it if necessary.
func (g *group) row(kind transfer.Kind, key string) *row {
	name := nameOf(kind, key)
	if r := g.rows[name]; r != nil {
		return r
	}
	g.need(kind, key)
	if r := g.rows[name]; r != nil {
		return r
	}
	r := &row{kind: kind, key: key}
	if g.err == nil {
		g.add(name, r)
	}
	return r
}

// need reads rows by their keys, and records which are missing.
func (g *group) need(kind transfer.Kind, keys ...string) {
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		return g.rows[nameOf(kind, key)] != nil
	})
	if len(keys) == 0 {
		return
	}
	g.read(byKeys(kind, keys)...)
	g.missing(kind, keys)
}

// missing records that the rows that were not read do not exist.
func (g *group) missing(kind transfer.Kind, keys []string) {
	for _, key := range keys {
		if name := nameOf(kind, key); g.err == nil && g.rows[name] == nil {
			g.add(name, &row{kind: kind, key: key})
		}
	}
}

// byKeys returns the queries of rows by key.
func byKeys(kind transfer.Kind, keys []string) []query {
	switch kind {
	case transfer.Grants:
		all, spendable := grantKeys(keys)
		list := []query{{table: grantTable, where: "t.key = ANY($1::bytea[])", args: []any{all}}}
		// Used grants are read after unused ones, under whose locks they would have been moved.
		if len(spendable) > 0 {
			list = append(list,
				query{table: usedTable, where: "t.key = ANY($1::bytea[])", args: []any{spendable}})
		}
		return list
	case transfer.Clients:
		var sids, clients []string
		for _, key := range keys {
			sid, client := splitClient(key)
			sids, clients = append(sids, sid), append(clients, client)
		}
		return []query{{
			table: clientTable, args: []any{sids, clients},
			where: "(t.sid, t.client) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
		}}
	}
	t := tableOf(kind, nil)
	where := fmt.Sprintf("t.%s = ANY($1::text[])", t.columns[0].name)
	return []query{{table: t, where: where, args: []any{keys}}}
}

// grantKeys returns the keys of grants, and those of them that may have been used. Most reads are of access
// tokens, which are never among the used grants.
func grantKeys(keys []string) (all, spendable [][]byte) {
	all = make([][]byte, len(keys))
	for i, key := range keys {
		all[i] = []byte(key[1:])
		if ref, _ := records.RefOf(key); ref.Type.Consumable() {
			spendable = append(spendable, all[i])
		}
	}
	return all, spendable
}

// refs returns the keys of records of grants found by a statement.
func (t *tx) refs(sql string, args ...any) []string {
	return selected(t.group, func(row pgx.CollectableRow) (string, error) {
		var key []byte
		var number int16
		err := row.Scan(&key, &number)
		return string([]byte{byte(number)}) + string(key), err
	}, sql, args...)
}

// strings returns the strings found by a statement.
func (t *tx) strings(sql string, args ...any) []string {
	return selected(t.group, pgx.RowTo[string], sql, args...)
}

// number returns the number found by a statement.
func (t *tx) number(sql string, args ...any) (n int) {
	if t.err == nil {
		t.fail(t.conn.QueryRow(t.ctx, t.sql(sql), args...).Scan(&n))
	}
	return n
}

// selected returns the rows found by a statement, converted by scan, or nothing if it fails.
func selected[T any](g *group, scan pgx.RowToFunc[T], sql string, args ...any) []T {
	if g.err != nil {
		return nil
	}
	rows, _ := g.conn.Query(g.ctx, g.sql(sql), args...) // the rows hold its error
	list, err := pgx.CollectRows(rows, scan)
	g.fail(err)
	return list
}

// exec executes a statement immediately, and returns the number of affected rows.
func (g *group) exec(sql string, args ...any) int64 {
	if g.err != nil {
		return 0
	}
	tag, err := g.conn.Exec(g.ctx, g.sql(sql), args...)
	g.fail(err)
	return tag.RowsAffected()
}
