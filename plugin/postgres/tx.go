package postgres

// Transactions: the rows that one works on, read as they are needed, and what it changes of them.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// group is a transaction of the database in which several calls work, one after the other: each sees what
// those before it did. Rows are read once, together as far as the calls say beforehand which they need; what
// changes is written at the end, in one pipeline with the commit.
//
// A failure to read ends the group, whatever the calls have concluded from rows that were missing: err is to
// be looked at before any answer.
type group struct {
	*Engine
	ctx  context.Context
	conn *pgx.Conn
	// locks: what is read is locked until the end. Otherwise everything is read from one snapshot.
	locks bool
	// sealed: the transaction has ended with the first pipeline, and nothing more can be read.
	sealed bool
	// state is what the store says of itself in this transaction.
	state transfer.State
	slot  slot
	err   error

	rows map[string]*row
	// whole names the parts of indexes of which every row was read: see tx.index.
	whole map[string]bool
	// extra are statements besides those that the changes of rows come to.
	extra []statement
	undo  []change
	// wrote: changes were written before the end.
	wrote bool
	// kill is what the changes have killed, awaited whether the answer to a call waits for other hosts:
	// tx.ends.
	kill    grantstore.Kill
	awaited bool
	// seen is the number of this host's last beat that the transaction sees, least the one that it must see,
	// and leased whether the host had a lease when it began.
	seen, least int64
	leased      bool
}

type statement struct {
	sql  string
	args []any
}

// change is a row as it was before a step of a transaction.
type change struct {
	row     *row
	now     proto.Message
	touched bool
}

// tx is what one call does in a group, at a moment.
type tx struct {
	*group
	now time.Time
	// ends: the answer acknowledges that tokens have ended. The call sets it, and the engine has all hosts
	// take note at once, and before the answer (rule 15).
	ends bool
}

// mark is a point to which a call can be undone.
type mark struct{ changes, extra int }

func (g *group) mark() mark { return mark{len(g.undo), len(g.extra)} }

func (g *group) rollback(to mark) {
	for _, c := range slices.Backward(g.undo[to.changes:]) {
		c.row.now, c.row.touched = c.now, c.touched
	}
	g.undo, g.extra = g.undo[:to.changes], g.extra[:to.extra]
}

// fail keeps the first failure of the database.
func (g *group) fail(err error) {
	if g.err == nil && err != nil {
		g.err = err
	}
}

// query reads rows of a table. Where a transaction changes rows they are locked, in the order of their keys.
type query struct {
	table *table
	where string
	args  []any
	// order and limit read a part of an index, unlocked rows of which are locked by the next query.
	suffix string
}

func (g *group) text(q *query) string {
	sql := fmt.Sprintf("SELECT %s FROM {s}.%s t WHERE %s", q.table.list, q.table.name, q.where)
	switch {
	case q.suffix != "":
		sql += " " + q.suffix
	case g.locks && !q.table.guarded:
		sql += " ORDER BY t." + q.table.columns[0].name + " FOR UPDATE OF t"
	}
	return g.sql(sql)
}

// read runs queries in one pipeline and returns the rows of each that are new to the group.
func (g *group) read(queries ...query) [][]*row {
	if g.sealed {
		g.fail(errIncomplete)
	}
	return g.pipeline(nil, nil, queries...)
}

// pipeline runs statements and then queries in one round trip. head takes the results of the statements.
func (g *group) pipeline(
	statements []statement, head func(results pgx.BatchResults) error, queries ...query,
) [][]*row {
	found := make([][]*row, len(queries))
	if g.err != nil || len(statements)+len(queries) == 0 {
		return found
	}
	batch := &pgx.Batch{}
	for _, s := range statements {
		batch.Queue(g.sql(s.sql), s.args...)
	}
	for i := range queries {
		batch.Queue(g.text(&queries[i]), queries[i].args...)
	}
	if g.sealed {
		batch.Queue("COMMIT")
	}
	results := g.conn.SendBatch(g.ctx, batch)
	defer func() { g.fail(results.Close()) }()
	if head != nil {
		g.fail(head(results))
	}
	for i := range queries {
		if g.err == nil {
			found[i] = g.collect(results, queries[i].table)
		}
	}
	return found
}

// collect takes the rows of the next result into the group.
func (g *group) collect(results pgx.BatchResults, t *table) (found []*row) {
	rows, err := results.Query()
	if err != nil {
		g.fail(err)
		return nil
	}
	list, err := pgx.CollectRows(rows, t.row)
	g.fail(err)
	for _, r := range list {
		if kept, new := g.take(r); new {
			found = append(found, kept)
		}
	}
	return found
}

// take keeps a row that was read, unless the group has it: then that one is as recent, for it is locked or of
// the same snapshot, and may have been changed. A row that was missing before may have come since.
func (g *group) take(r *row) (kept *row, new bool) {
	name := nameOf(r.kind, r.key)
	known := g.rows[name]
	if known == nil || (known.was == nil && known.now == nil) {
		if known != nil {
			*known = *r
			return known, true
		}
		g.rows[name] = r
		return r, true
	}
	return known, false
}

// nameOf identifies a row.
func nameOf(kind transfer.Kind, key string) string { return string([]byte{byte(kind)}) + key }

// row returns the row of a key, which may be none, and reads it where it is not known yet.
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
		g.rows[name] = r
	}
	return r
}

// need reads rows by their keys, and remembers which are missing.
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

// missing notes that those of the rows that were not read are not there.
func (g *group) missing(kind transfer.Kind, keys []string) {
	for _, key := range keys {
		if name := nameOf(kind, key); g.err == nil && g.rows[name] == nil {
			g.rows[name] = &row{kind: kind, key: key}
		}
	}
}

// byKeys are the queries of rows by their keys. A used grant is looked for after an unused one, under whose
// lock it would have been moved.
func byKeys(kind transfer.Kind, keys []string) []query {
	switch kind {
	case transfer.Grants:
		raw := make([][]byte, len(keys))
		for i, key := range keys {
			raw[i] = []byte(key[1:])
		}
		return []query{
			{table: grantTable, where: "t.key = ANY($1::bytea[])", args: []any{raw}},
			{table: usedTable, where: "t.key = ANY($1::bytea[])", args: []any{raw}},
		}
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

// put writes a row. The message becomes the group's: the caller does not change it any more.
func (g *group) put(kind transfer.Kind, key string, m proto.Message) {
	r := g.row(kind, key)
	if s, ok := m.(*records.Session); ok {
		// The index of those that fall due is early at most.
		if due := records.Nanos(rules.Due(s)); s.IndexedDue == 0 || due < s.IndexedDue {
			s.IndexedDue = due
		}
	}
	if sid, _ := splitClient(key); kind == transfer.Clients {
		if s := g.rows[nameOf(transfer.Sessions, sid)]; s != nil && s.now != nil {
			r.created = session(s).GetCreated()
		}
	}
	g.set(r, m)
}

func (g *group) remove(r *row) { g.set(r, nil) }

func (g *group) set(r *row, m proto.Message) {
	g.undo = append(g.undo, change{r, r.now, r.touched})
	r.now = m
}

// touch has a row be written even if nothing in it changes.
func (g *group) touch(r *row) {
	g.undo = append(g.undo, change{r, r.now, r.touched})
	r.touched = true
}

// at returns the message of a row, nil where there is none. It is not to be changed.
func at[M proto.Message](g *group, kind transfer.Kind, key string) (m M) {
	m, _ = g.row(kind, key).now.(M)
	return m
}

func (g *group) session(sid string) *records.Session {
	return at[*records.Session](g, transfer.Sessions, sid)
}

func (g *group) ended(sid string) *records.Ended { return at[*records.Ended](g, transfer.Ended, sid) }

func (g *group) use(sid, client string) *records.ClientUse {
	if g.whole[clientsOf(sid)] && g.rows[nameOf(transfer.Clients, clientKey(sid, client))] == nil {
		return nil
	}
	return at[*records.ClientUse](g, transfer.Clients, clientKey(sid, client))
}

func (g *group) operation(id string) *records.Operation {
	return at[*records.Operation](g, transfer.Operations, id)
}

func (g *group) job(id string) *records.Job { return at[*records.Job](g, transfer.Jobs, id) }

func (g *group) grant(ref grantstore.Ref) *row {
	return g.row(transfer.Grants, string(records.RefBytes(ref)))
}

// byCookie returns the session of a cookie, nil where there is none.
func (g *group) byCookie(key ticketstore.Key) *records.Session {
	g.index("cookie "+string(key[:]), cookies(key[:]))
	for _, r := range g.rows {
		if s, ok := r.now.(*records.Session); ok && string(s.GetKey()) == string(key[:]) {
			return s
		}
	}
	return nil
}

func cookies(keys ...[]byte) query {
	return query{table: sessionTable, where: "t.cookie = ANY($1::bytea[])", args: []any{keys}}
}

// index reads a part of an index, unless it was read before.
func (g *group) index(name string, q query) {
	if !g.whole[name] {
		g.read(q)
		g.whole[name] = g.err == nil
	}
}

func clientsOf(sid string) string { return "clients " + sid }

// clients returns the rows of the clients of a session, in the order of their ids.
func (g *group) clients(sid string) []*row {
	g.index(clientsOf(sid),
		query{table: clientTable, where: "t.sid = ANY($1::text[])", args: []any{[]string{sid}}})
	return g.known(transfer.Clients, func(r *row) bool { return strings.HasPrefix(r.key, sid+"\x00") })
}

// known are the rows of a kind that are there, and that match, in the order of their keys.
func (g *group) known(kind transfer.Kind, match func(r *row) bool) (list []*row) {
	for _, r := range g.rows {
		if r.kind == kind && r.now != nil && match(r) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *row) int { return strings.Compare(a.key, b.key) })
	return list
}

func familyOf(requestID string) string { return "family " + requestID }

func families(requestIDs []string) query {
	return query{table: grantTable, where: "t.family = ANY($1::text[])", args: []any{requestIDs}}
}

// family returns the unused tokens of a request id.
func (g *group) family(requestID string) []*row {
	g.index(familyOf(requestID), families([]string{requestID}))
	return g.unused(requestID)
}

// wholeFamily returns all of them, for a revocation: it reads until nothing new is found. A family grows by
// the use of a token of it alone, so that it grows no more once all that are unused are locked here.
func (g *group) wholeFamily(requestID string) []*row {
	name := "whole " + requestID
	for !g.whole[name] && g.err == nil {
		found := g.read(families([]string{requestID}))
		g.whole[name] = g.err == nil && (!g.locks || len(found[0]) == 0)
	}
	return g.unused(requestID)
}

// unused are the unused tokens of a request id that were read.
func (g *group) unused(requestID string) []*row {
	return g.known(transfer.Grants, func(r *row) bool {
		of := family(r)
		return grant(r).GetConsumed() == 0 && of != nil && *of == requestID && requestID != ""
	})
}

// standing is what its session says of a grant.
func (g *group) standing(sid, client string) *rules.Standing {
	s := &rules.Standing{Session: g.session(sid)}
	if s.Session != nil {
		s.Use = g.use(sid, client)
		return s
	}
	s.Ended = g.ended(sid)
	return s
}

// judge decides whether a grant is live. Every read and every write of a grant asks it.
func (t *tx) judge(r *row) error { return rows{t}.Judge(r.ref().Type, grant(r)) }

// ref is what the row of a grant is of.
func (r *row) ref() grantstore.Ref {
	ref, _ := records.RefOf(r.key)
	return ref
}
