package postgres

// Changes since an export began: reading and acknowledging the journal.

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// maxJournal bounds the journal: beyond it the export, and thus the move, fails. A working host keeps it
// nearly empty.
const maxJournal = 4_000_000

// Changes implements transfer.Store. The entries of the journal are an unordered set: the number of one that
// is read first may be higher. Entries get the numbers for answers when they are first returned: batch is
// that of the last entry of the answer in which an entry was returned. An unacknowledged answer is returned
// again.
func (m mover) Changes(
	ctx context.Context, id string, after uint64, limit int,
) (c *transfer.Changes, err error) {
	if err := ticketstore.CheckPositive("limit", limit); err != nil {
		return nil, err
	}
	err = m.alone(ctx, func(g *group) (err error) {
		c, err = g.changes(id, after, limit)
		return err
	})
	return c, err
}

func (g *group) changes(id string, after uint64, limit int) (*transfer.Changes, error) {
	status, err := g.ledger(locked)
	switch {
	case err != nil:
		g.fail(err)
		return nil, err
	case !rules.Journals(status.State) || status.ID != id || after > status.Journaled:
		return nil, fmt.Errorf("%w: it is %s", transfer.ErrState, status.State)
	case status.Left > maxJournal:
		return nil, transfer.ErrJournal
	}
	acknowledged := status.Journaled - status.Left
	if after > acknowledged {
		gone := uint64(g.exec("DELETE FROM {s}.journal WHERE batch > 0 AND batch <= $1", int64(after)))
		if g.err == nil && acknowledged+gone != after {
			return nil, fmt.Errorf("%w: no answer ended with the change %d", transfer.ErrState, after)
		}
		acknowledged, status.Left = after, status.Left-gone
	}
	g.exec("UPDATE {s}.ledger SET acknowledged = $1, moved = "+databaseTime, int64(acknowledged))
	named := min(status.Left, uint64(limit))
	c := &transfer.Changes{Through: acknowledged + named, Left: status.Left - named}
	return c, g.goesOut(c, int(named))
}

// goesOut marks entries, starting with those returned before, and reads the rows that they name. Each
// statement sees what was committed before it: a row that changes later is named by an entry returned later.
func (g *group) goesOut(c *transfer.Changes, entries int) error {
	if g.err != nil || entries == 0 {
		return g.err
	}
	type entry struct {
		Kind int16
		Key  []byte
	}
	keys, seen := map[transfer.Kind][]string{}, map[name]bool{}
	const goesOut = `UPDATE {s}.journal SET batch = $1 WHERE id IN (
		SELECT id FROM {s}.journal ORDER BY batch = 0, id LIMIT $2) RETURNING kind, key`
	for _, e := range selected(g, pgx.RowToStructByPos[entry], goesOut, int64(c.Through), entries) {
		kind, key := transfer.Kind(e.Kind), string(e.Key)
		if name := nameOf(kind, key); !seen[name] {
			seen[name] = true
			keys[kind] = append(keys[kind], key)
		}
	}
	for _, kind := range transfer.Kinds {
		g.need(kind, keys[kind]...)
		for _, key := range keys[kind] {
			record := &transfer.Record{Kind: kind, Key: []byte(key), Deleted: true}
			if r := g.row(kind, key); r.now != nil {
				record = cross(kind, key, r.now)
			}
			c.Records = append(c.Records, *record)
		}
	}
	return g.err
}
