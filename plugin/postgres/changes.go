package postgres

// Changes since an export began: reading and acknowledging the journal.

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// maxJournal bounds the journal: beyond it the export, and thus the move, fails. A working host keeps it
// nearly empty.
const maxJournal = 4_000_000

// Changes implements transfer.Store. The entries of the journal are an unordered set: the number of one that
// is read first may be higher. Entries get the numbers for answers when they are returned: batch is that of
// the last entry of the answer in which an entry was returned. The entries of an unacknowledged answer are
// returned again.
func (m mover) Changes(
	ctx context.Context, id string, after uint64, limit int,
) (c *transfer.Changes, err error) {
	if err := ticketstore.CheckPositive("limit", limit); err != nil {
		return nil, err
	}
	err = m.ownTransaction(ctx, func(g *group) (err error) {
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
	c := &transfer.Changes{Through: acknowledged, Left: status.Left}
	// Others go on writing: what they add to the journal since it was counted is for the next call.
	return c, g.markReturned(c, int(min(status.Left, uint64(limit))))
}

const (
	// readAtOnce is the number of entries whose rows are read at once: at most 6 MiB.
	readAtOnce  = 48
	nextEntries = "SELECT id, kind, key FROM {s}.journal ORDER BY id LIMIT $1"
	// goOut also resets the entries of an answer that was lost.
	goOut = `UPDATE {s}.journal SET batch = CASE WHEN id = ANY($2) THEN $1::bigint ELSE 0 END
		WHERE batch > 0 OR id = ANY($2)`
)

// markReturned adds the rows that the next entries name, up to limit or transfer.MaxBatchBytes, and marks
// these entries with the number of the answer. Rows are read after their entries: each statement sees what
// was committed before it, so a row that changes later is named by an entry returned later.
func (g *group) markReturned(c *transfer.Changes, limit int) error {
	type entry struct {
		ID   int64
		Kind int16
		Key  []byte
	}
	ids, seen, size := []int64{}, map[name]bool{}, 0
	entries := selected(g, pgx.RowToStructByPos[entry], nextEntries, limit)
	if len(entries) < limit { // the journal is shorter than its ids say
		c.Left = uint64(len(entries))
	}
	for part := range slices.Chunk(entries, readAtOnce) {
		if size >= transfer.MaxBatchBytes {
			break
		}
		keys := map[transfer.Kind][]string{}
		for _, e := range part {
			ids = append(ids, e.ID)
			kind, key := transfer.Kind(e.Kind), string(e.Key)
			if name := nameOf(kind, key); !seen[name] {
				seen[name] = true
				keys[kind] = append(keys[kind], key)
			}
		}
		for _, kind := range transfer.Kinds {
			g.need(kind, keys[kind]...)
			if g.err != nil {
				return g.err
			}
			for _, key := range keys[kind] {
				record := &transfer.Record{Kind: kind, Key: []byte(key), Deleted: true}
				if r := g.row(kind, key); r.now != nil {
					record = cross(kind, key, r.now)
				}
				c.Records = append(c.Records, *record)
				size += len(record.Data)
			}
		}
	}
	c.Through, c.Left = c.Through+uint64(len(ids)), c.Left-uint64(len(ids))
	if len(ids) > 0 {
		g.exec(goOut, int64(c.Through), ids)
	}
	return g.err
}
