package postgres

// Transactions: the rows read and changed.

import (
	"context"
	"iter"
	"maps"
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

// group is a database transaction shared by several calls, which run one after another: each sees what the
// earlier ones did. Rows are read once, and those that the calls are known to need are read together; changes
// are written at the end, in one pipeline with the commit.
//
// A failed read ends the group, whatever the calls have concluded from missing rows: err must be checked
// before any answer.
type group struct {
	*Engine
	ctx  context.Context
	conn *pgx.Conn
	// locks: rows are locked when read, until the end. Otherwise everything is read from one snapshot.
	locks bool
	// sealed: the transaction has ended with the first pipeline, and nothing more can be read.
	sealed bool
	// state is the state of the store in this transaction.
	state transfer.State
	slot  slot
	err   error
	// at is the latest moment of the calls, 0 if time does not matter to them.
	at int64

	rows map[name]*row
	// uses are the rows of clients by session: a page reads a thousand sessions. grants are all grants.
	uses   map[string][]*row
	grants []*row
	// whole names the parts of indexes that were read completely: see tx.index.
	whole map[string]bool
	// extra are statements besides those for changed rows.
	extra []statement
	undo  []change
	// lenient: damaged rows count as missing, in a snapshot that only lists.
	lenient bool
	// wrote: changes were written before the end.
	wrote bool
	// kill is what the changes have killed, awaited whether a call waits for other hosts: tx.ends.
	kill    grantstore.Kill
	awaited bool
	// seen is the number of this host's last beat visible to the transaction, least the one that it must see,
	// and leased whether the host had a lease when it began.
	seen, least int64
	leased      bool
}

type statement struct {
	sql  string
	args []any
}

// beginning returns the statements that begin a transaction with the statement sql.
func beginning(pooled bool, sql string) []statement {
	if pooled {
		return []statement{{sql: sql}, {sql: ofTransaction}}
	}
	return []statement{{sql: sql}}
}

// change is a row as it was before a step of a transaction.
type change struct {
	row     *row
	now     proto.Message
	touched bool
}

// tx is one call in a group, at a moment.
type tx struct {
	*group
	now time.Time
	// ends: the answer acknowledges the end of tokens. It is set by the call, and makes the engine wait until
	// all hosts have learned of it before it answers (rule 15).
	ends bool
}

// savepoint is a point to which a call can be undone.
type savepoint struct{ changes, extra int }

func (g *group) savepoint() savepoint { return savepoint{len(g.undo), len(g.extra)} }

func (g *group) rollback(to savepoint) {
	for _, c := range slices.Backward(g.undo[to.changes:]) {
		c.row.now, c.row.touched = c.now, c.touched
	}
	g.undo, g.extra = g.undo[:to.changes], g.extra[:to.extra]
}

// fail records the first failure of the database.
func (g *group) fail(err error) {
	if g.err == nil && err != nil {
		g.err = err
	}
}

// put writes a row. The group takes ownership of the message, which must not be changed afterwards.
func (g *group) put(kind transfer.Kind, key string, m proto.Message) {
	r := g.row(kind, key)
	if s, ok := m.(*records.Session); ok {
		// The due index may be early, never late.
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

// touch makes the transaction write a row even if it is unchanged.
func (g *group) touch(r *row) {
	g.undo = append(g.undo, change{r, r.now, r.touched})
	r.touched = true
}

// at returns the message of a row, or nil. It must not be changed.
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

// byCookie returns the session of a cookie, or nil.
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

// clients returns the rows of the clients of a session, in order of their ids.
func (g *group) clients(sid string) []*row {
	g.index(clientsOf(sid),
		query{table: clientTable, where: "t.sid = ANY($1::text[])", args: []any{[]string{sid}}})
	return present(slices.Values(g.uses[sid]), func(*row) bool { return true })
}

// known returns the existing rows of a kind that match, in key order.
func (g *group) known(kind transfer.Kind, match func(r *row) bool) []*row {
	return present(maps.Values(g.rows), func(r *row) bool { return r.kind == kind && match(r) })
}

// present returns the existing rows that match, in key order.
func present(rows iter.Seq[*row], match func(r *row) bool) (list []*row) {
	for r := range rows {
		if r.now != nil && match(r) {
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

// wholeFamily returns all of them, for a revocation: it reads until nothing new is found. A family grows only
// by the use of one of its tokens, so it stops growing once all unused ones are locked here.
func (g *group) wholeFamily(requestID string) []*row {
	name := "whole " + requestID
	for !g.whole[name] && g.err == nil {
		found := g.read(families([]string{requestID}))
		g.whole[name] = g.err == nil && (!g.locks || len(found[0]) == 0)
	}
	return g.unused(requestID)
}

// unused returns the unused tokens of a request id that were read.
func (g *group) unused(requestID string) []*row {
	return present(slices.Values(g.grants), func(r *row) bool {
		of := family(r)
		return grant(r).GetConsumed() == 0 && of != nil && *of == requestID && requestID != ""
	})
}

// standing returns the rows of the session that judge a grant.
func (g *group) standing(sid, client string) *rules.Standing {
	s := &rules.Standing{Session: g.session(sid)}
	if s.Session != nil {
		s.Use = g.use(sid, client)
		return s
	}
	s.Ended = g.ended(sid)
	return s
}

// judge decides whether a grant is live. Every read and every write of a grant calls it.
func (t *tx) judge(r *row) error { return rows{t}.Judge(r.ref().Type, grant(r)) }

// ref returns the reference of a grant's row.
func (r *row) ref() grantstore.Ref {
	ref, _ := records.RefOf(r.key)
	return ref
}
