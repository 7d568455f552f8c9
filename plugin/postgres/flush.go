package postgres

// Writing a transaction's changes in one pipeline with its commit.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// slot is a committer's row: see internal/schema/migrations/001_tables.sql.
type slot struct {
	number       int
	position     int64
	kills        int64
	counts, sums []int64
}

const lockSlot = `SELECT state, position, counts, sums, kills, ` + seenBeat + ` FROM {s}.slots
	WHERE slot = $1 FOR UPDATE`

// seenBeat is the number of this host's last beat.
const seenBeat = "coalesce((SELECT number FROM {s}.hosts WHERE instance = $2), -1)"

const writeSlot = `UPDATE {s}.slots SET position = position + 1, last = $2::uuid, counts = $3::bigint[],
	sums = $4::bigint[], kills = $5 WHERE slot = $1`

const countClients = `INSERT INTO {s}.client_counts AS c (client, slot, sessions)
	SELECT client, $1, n FROM unnest($2::text[], $3::bigint[]) AS v(client, n)
	ON CONFLICT (client, slot) DO UPDATE SET sessions = c.sessions + EXCLUDED.sessions`

const journalRows = "INSERT INTO {s}.journal (kind, key) SELECT * FROM unnest($1::smallint[], $2::bytea[])"

// changed returns the rows to write, in an order shared by all transactions.
func (g *group) changed() []*row {
	list := slices.DeleteFunc(slices.Collect(maps.Values(g.rows)), func(r *row) bool {
		touched := r.touched && r.now != nil
		return !touched && (r.was == r.now || (r.was != nil && r.now != nil && proto.Equal(r.was, r.now)))
	})
	slices.SortFunc(list, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.key, b.key))
	})
	return list
}

// writes returns the statements for the changed rows.
func (g *group) writes(at int64) (list []statement) {
	changed := g.changed()
	type work struct{ removed, updated, inserted []*row }
	works := map[*table]*work{}
	of := func(t *table) *work {
		if works[t] == nil {
			works[t] = &work{}
		}
		return works[t]
	}
	for _, r := range changed {
		from, to := r.tableOf(r.was), r.tableOf(r.now)
		switch {
		case from != nil && from == to && !from.moves:
			of(to).updated = append(of(to).updated, r)
			continue
		case from != nil:
			of(from).removed = append(of(from).removed, r)
		}
		if to != nil {
			of(to).inserted = append(of(to).inserted, r)
		}
	}
	// Deletions and updates that free unique values precede, in all tables, those that take them: a cookie or
	// a grant's key that passes from one row to another is free by then.
	add := func(t *table, sql string, rows []*row, columns int, guard bool) {
		if len(rows) == 0 {
			return
		}
		args := t.arrays(rows, columns)
		if guard {
			args = append(args, len(rows))
		}
		list = append(list, statement{sql, args})
	}
	for _, t := range tables {
		if w := works[t]; w != nil {
			add(t, t.remove, w.removed, t.keys, true)
			add(t, t.update, w.updated, len(t.columns), true)
		}
	}
	for _, t := range tables {
		if w := works[t]; w != nil {
			add(t, t.insert, placed(t, w.inserted, at), len(t.columns), false)
		}
	}
	g.count(changed)
	g.names(changed)
	list = append(list, g.countedClients(changed)...)
	if rules.Journals(g.state) && len(changed) > 0 {
		kinds, keys := make([]int16, len(changed)), make([][]byte, len(changed))
		for i, r := range changed {
			kinds[i], keys[i] = int16(r.kind), []byte(r.key)
		}
		list = append(list, statement{journalRows, []any{kinds, keys}})
	}
	return list
}

// names adds what changes of rows kill.
func (g *group) names(changed []*row) {
	for _, r := range changed {
		if r.was != nil && rules.Kills(r.kind) && (r.now == nil || !proto.Equal(r.was, r.now)) {
			rules.Kill(&g.kill, r.kind, r.key, func() proto.Message { return r.was },
				func() proto.Message { return r.now })
		}
	}
}

// tableOf returns the table of a row with message m, or nil for none.
func (r *row) tableOf(m proto.Message) *table {
	if m == nil {
		return nil
	}
	return tableOf(r.kind, m)
}

// count maintains the counts and sums of the records, by which the two stores of a move are compared (rule
// 12).
func (g *group) count(changed []*row) {
	for _, r := range changed {
		if r.was != nil {
			g.slot.counts[r.kind]--
			g.slot.sums[r.kind] -= int64(cross(r.kind, r.key, r.was).Sum())
		}
		if r.now != nil {
			g.slot.counts[r.kind]++
			g.slot.sums[r.kind] += int64(cross(r.kind, r.key, r.now).Sum())
		}
	}
}

// countedClients maintains the number of sessions of each client, in a row of the slot's own, so that
// committers do not wait for each other. A store that is being filled is counted too, so that its switch,
// which holds all writes, does no work that grows with the store.
func (g *group) countedClients(changed []*row) []statement {
	deltas := map[string]int64{}
	for _, r := range changed {
		if r.kind != transfer.Clients {
			continue
		}
		_, client := splitClient(r.key)
		was, _ := r.was.(*records.ClientUse)
		now, _ := r.now.(*records.ClientUse)
		if rules.Shown(was) {
			deltas[client]--
		}
		if rules.Shown(now) {
			deltas[client]++
		}
	}
	var clients []string
	var counts []int64
	for _, client := range slices.Sorted(maps.Keys(deltas)) {
		if deltas[client] != 0 {
			clients, counts = append(clients, client), append(counts, deltas[client])
		}
	}
	if len(clients) == 0 {
		return nil
	}
	return []statement{{countClients, []any{g.slot.number, clients, counts}}}
}

// write writes the changes so far without a commit, because later calls scan indexes.
func (g *group) write(at int64) {
	list := append(g.writes(at), g.extra...)
	if len(list) == 0 || !g.locks || g.err != nil {
		return
	}
	if err := g.conn.SendBatch(g.ctx, g.batch(list)).Close(); err != nil {
		g.fail(err)
		return
	}
	for _, r := range g.rows {
		r.was, r.touched = r.now, false
		if m, ok := r.now.(*records.Grant); ok && m.GetConsumed() != 0 {
			r.ring = usedRing(m, at)
		}
	}
	g.undo, g.extra, g.wrote = nil, nil, true
}

// errBefore marks a failure before the commit was sent: nothing was written.
var errBefore = errors.New("nothing was written")

// commit writes the changes. id proves the commit if its answer is lost. A transaction without changes is a
// read, and needs a lease like a read.
func (g *group) commit(ctx context.Context, id [16]byte, at int64) error {
	list := append(g.writes(at), g.extra...)
	if len(list) == 0 && !g.wrote {
		_, err := g.conn.Exec(ctx, "ROLLBACK")
		if err == nil {
			err = g.current()
		}
		return err
	}
	g.wrote = true
	if g.kills() {
		list = append(list, g.killRow())
	}
	// The slot proves that all of this was committed if the answer is lost: see resolve.
	list = append(list, statement{
		writeSlot, []any{g.slot.number, id, g.slot.counts, g.slot.sums, g.slot.kills},
	}, statement{sql: "COMMIT"})
	results := g.conn.SendBatch(ctx, g.batch(list))
	for i := range list {
		tag, err := results.Exec()
		if err != nil {
			return errors.Join(fmt.Errorf("statement %d of %d: %w", i+1, len(list), err), results.Close())
		}
		if i == len(list)-1 && tag.String() != "COMMIT" {
			return errors.Join(fmt.Errorf("%w: the commit was answered %q", errBefore, tag), results.Close())
		}
	}
	return results.Close()
}
