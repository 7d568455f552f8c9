package postgres

// The purge of the counts of clients without sessions.

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/rules"
)

const (
	// countWindow bounds the rows of counts that one purge examines: the next one continues after them.
	countWindow = 4096
	// A client at the end of the window may be there with a part of its rows: the deletion sees all of them.
	countsFrom = `SELECT client, sum(sessions) = 0 FROM (SELECT client, sessions FROM {s}.client_counts
		WHERE client > $1 ORDER BY client, slot LIMIT $2) AS part GROUP BY client ORDER BY client`
	lockCounts = `SELECT FROM {s}.client_counts WHERE client = ANY($1::text[])
		ORDER BY client, slot FOR UPDATE`
	dropCounts = `DELETE FROM {s}.client_counts WHERE client IN (SELECT client FROM {s}.client_counts
		WHERE client = ANY($1::text[]) GROUP BY client HAVING sum(sessions) = 0)`
)

// purgeCounts deletes the rows of clients whose counts are zero in sum: with registrations for each
// installation of an application, those of the past would be as many as ever registered.
//
// Nobody changes a row between its lock and the deletion. A committer that waits for one inserts it anew, and
// what others insert meanwhile is beside rows whose sum is zero. The transaction is the call's own: it has no
// rows that a committer could wait for but these, locked in the order in which committers change them.
func (e *Engine) purgeCounts(ctx context.Context, now time.Time) error {
	type count struct {
		Client string
		Zero   bool
	}
	after := ""
	if counted := e.counted.Load(); counted != nil {
		after = *counted
	}
	counts, err := view(ctx, e, now, nil, func(t *tx) ([]count, error) {
		return selected(t.group, pgx.RowToStructByPos[count], countsFrom, after, countWindow), nil
	})
	if err != nil {
		return err
	}
	after = "" // behind the last row the next purge begins again
	var zero []string
	for _, c := range counts {
		if after = c.Client; c.Zero {
			zero = append(zero, c.Client)
		}
	}
	e.counted.Store(&after)
	if len(zero) == 0 {
		return nil
	}
	err = e.submit(&call{
		ctx: ctx, now: now, plan: *planOf("purge"), admits: rules.Writes, once: true,
		run: func(t *tx) error {
			t.extra = append(t.extra, statement{lockCounts, []any{zero}}, statement{dropCounts, []any{zero}})
			return nil
		},
	})
	if errors.Is(err, errConflict) {
		return nil // a later purge comes by
	}
	return err
}
