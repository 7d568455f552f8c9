package postgres

// Resuming what another host has left: jobs, and rows of dead grants (rules 1 and 14).

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// resumePause is the interval of looking for such work.
	resumePause = 10 * time.Second
	takeJob     = `UPDATE {s}.jobs SET lease = ` + databaseTime + ` + $1 WHERE id = (
		SELECT id FROM {s}.jobs WHERE running IS NOT NULL AND lease < ` + databaseTime + `
		ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id`
	// Rows left by a running job are removed by the job itself.
	leftPurges = `SELECT p.sid FROM {s}.purges p WHERE NOT EXISTS (
		SELECT 1 FROM {s}.jobs j WHERE j.id = p.operation AND j.running IS NOT NULL) LIMIT $1`
)

// resuming resumes such work now and periodically.
func (e *Engine) resuming() {
	for {
		e.resume(e.background)
		select {
		case <-time.After(resumePause):
		case <-e.background.Done():
			return
		}
	}
}

// resume continues each job whose lease has expired. A host that was stopped and continues with the same job
// concurrently is harmless: each transaction of a job locks its row. A store that accepts no writes leaves
// its jobs until the end of its move.
func (e *Engine) resume(ctx context.Context) {
	for ctx.Err() == nil {
		var id string
		err := e.pool.QueryRow(ctx, e.sql(takeJob), int64(leaseTime)).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			break
		}
		if err != nil {
			return // the calls report it
		}
		e.logger.InfoContext(ctx, "resuming a job of a host that has stopped", "job", id)
		_, _ = e.workOn(id)
	}
	sids, _ := view(ctx, e, anyTime, nil, func(t *tx) ([]string, error) {
		return t.strings(leftPurges, purgeBatch), nil
	})
	for _, sid := range sids {
		e.purgeSession(sid, anyTime)
	}
}
