package postgres

// Moves of a store (transfer.Store): its states, which are in the ledger and repeated in each slot for its
// writers.

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// mover implements transfer.Store.
type mover struct{ *Engine }

var _ transfer.Store = mover{}

// Transfer returns the store's transfer.Store.
func (e *Engine) Transfer() transfer.Store { return mover{e} }

const (
	askLedger = `SELECT state, move, peer, peer_store, origin, acknowledged,
		` + journalLength + `, ` + databaseTime + ` - moved FROM {s}.ledger`
	// A long journal is not counted, because each answer with changes asks for its length: the range of its
	// ids has gaps, so it may be shorter.
	journalLength = `coalesce((SELECT CASE WHEN last - first < 10000 THEN (SELECT count(*) FROM {s}.journal)
		ELSE last - first + 1 END FROM (SELECT min(id) AS first, max(id) AS last FROM {s}.journal) ids), 0)`
	askSlots = "SELECT counts, sums FROM {s}.slots ORDER BY slot"
)

// Status implements transfer.Store.
func (m mover) Status(ctx context.Context) (*transfer.Status, error) {
	return answer(&call{ctx: ctx, admits: anyState}, m.look, func(t *tx) (*transfer.Status, error) {
		return t.status("")
	})
}

// status reads the status of the store. A failure is the group's.
func (g *group) status(lock string) (status *transfer.Status, err error) {
	// The ledger first: one transition at a time. Then the slots, which waits for their writers.
	if status, err = g.ledger(lock); err == nil {
		status.Content, err = g.contents(lock)
		// A host that registers locks the ledger too: it is seen here, or sees the new state.
		status.Others = shown(selected(g, hostOf, askHosts, schema.HostSilence, g.host.id()))
	}
	g.fail(err)
	return status, g.err
}

// locked is appended to a query to lock the rows that it reads.
const locked = " FOR UPDATE"

// ledger reads the status without the contents.
func (g *group) ledger(lock string) (*transfer.Status, error) {
	var number int16
	var acknowledged, left, silent int64
	s := &transfer.Status{RecordVersion: transfer.RecordVersion}
	err := g.conn.QueryRow(g.ctx, g.sql(askLedger+lock)).
		Scan(&number, &s.ID, &s.Peer, &s.PeerStore, &s.Origin, &acknowledged, &left, &silent)
	if err != nil {
		return nil, err
	}
	if s.State, err = stateOf(number); err != nil {
		return nil, err
	}
	s.Journaled, s.Left = uint64(acknowledged+left), uint64(left)
	if rules.Journals(s.State) {
		s.Silent = max(0, time.Duration(silent))
	}
	return s, nil
}

// contents sums the slots' contents of each kind.
func (g *group) contents(lock string) (map[transfer.Kind]transfer.Content, error) {
	type slot struct{ Counts, Sums []int64 }
	contents := map[transfer.Kind]transfer.Content{}
	for _, s := range selected(g, pgx.RowToStructByPos[slot], askSlots+lock) {
		for _, kind := range transfer.Kinds {
			if int(kind) >= len(s.Counts) || int(kind) >= len(s.Sums) {
				return nil, errors.New("a slot does not count all kinds of records")
			}
			c := contents[kind]
			c.Count, c.Sum = c.Count+s.Counts[kind], c.Sum+uint64(s.Sums[kind])
			contents[kind] = c
		}
	}
	none := transfer.Content{}
	maps.DeleteFunc(contents, func(_ transfer.Kind, c transfer.Content) bool { return c == none })
	return contents, g.err
}

// anyState admits calls that are about the store's state, or do not depend on it.
func anyState(transfer.State) error { return nil }

// Become implements transfer.Store. The transaction locks the ledger and then all slots: it waits for each
// writer that has seen the old state, and each later writer sees the new one.
func (m mover) Become(ctx context.Context, turn transfer.Transition) error {
	if err := ticketstore.CheckID("id", turn.ID); err != nil {
		return err
	}
	var before transfer.State
	var changed bool
	err := m.ownTransaction(ctx, func(g *group) (err error) {
		before, changed, err = g.become(turn)
		return err
	})
	if err == nil {
		err = m.awaitHosts(ctx) // until no host that has not learned of it uses a copy
	}
	if err != nil || !changed {
		return err
	}
	m.logger.InfoContext(ctx, "store changed its state", "from", before, "to", turn.To, "move", turn.ID,
		"peer", turn.Peer)
	if turn.To == transfer.Active && before != transfer.Exporting {
		// Resume what was running in the source, or here before the fence.
		m.work.Go(func() { m.resume(m.background) })
	}
	return nil
}

// ownTransaction runs f in a transaction of its own, without a slot. An error of f is the answer, unless the
// database failed: then it is retried for a while.
func (m mover) ownTransaction(ctx context.Context, f func(g *group) error) (answer error) {
	if m.closed.Load() {
		return errClosed
	}
	err := m.retrying(ctx, func() error {
		conn, err := m.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer release(conn)
		g := newGroup(ctx, m.Engine, conn.Conn())
		g.begin("BEGIN")
		answer = f(g)
		if g.err != nil || answer != nil {
			return g.err // release rolls back
		}
		g.exec("COMMIT")
		return g.err
	})
	if err != nil {
		return err
	}
	return answer
}

// become changes the state. Its error is a refusal; a failure of the database is the group's.
func (g *group) become(turn transfer.Transition) (before transfer.State, changed bool, err error) {
	status, err := g.status(locked)
	if err != nil {
		return "", false, err
	}
	before = status.State
	next := *status
	if changed, err = rules.Turn(&next, turn); err != nil || !changed {
		return before, false, err
	}
	if turn.To == transfer.Importing && before == transfer.Active && status.Records() > 0 {
		return before, false, transfer.ErrNotEmpty
	}
	if next.Left != status.Left {
		g.exec("DELETE FROM {s}.journal")
	}
	if turn.To == transfer.Importing {
		g.clear()
	}
	number := numberOf(next.State)
	g.exec(killAll)
	g.exec("UPDATE {s}.slots SET state = $1, kills = kills + (slot = 0)::int", number)
	g.exec(`UPDATE {s}.ledger SET state = $1, move = $2, peer = $3, peer_store = $4, origin = $5,
		acknowledged = $6, moved = `+databaseTime,
		number, next.ID, next.Peer, next.PeerStore, next.Origin, int64(next.Journaled-next.Left))
	return before, true, nil
}

func numberOf(state transfer.State) int16 { return int16(slices.Index(states[:], state)) }

// clear empties a store that is to be filled. It holds all slots, which excludes writers. An abandoned move
// may have left many rows, so none is looked at.
func (g *group) clear() {
	var names []string
	for _, t := range tables {
		names = append(names, "{s}."+t.name)
	}
	g.exec("TRUNCATE " + strings.Join(names, ", ") + ", {s}.client_counts, {s}.limits")
	g.exec("UPDATE {s}.slots SET counts = array_fill(0::bigint, ARRAY[cardinality(counts)]), " +
		"sums = array_fill(0::bigint, ARRAY[cardinality(sums)])")
}
