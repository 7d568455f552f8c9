package postgres

// This host among those that have the store open: its row, its beat, and how far its clock is off.

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
)

const (
	// beatPause is how often a host says that it runs, leaveTime how long it takes to say that it ends.
	beatPause = 2 * time.Second
	leaveTime = time.Second
	// forgotten is how long the row of a host stays that says nothing: a migration counts it for less.
	forgotten = 10 * schema.HostSilence * time.Second
)

// host is this program's row in the table of hosts.
type host struct {
	pool     *pgxpool.Pool
	schema   string
	instance string
	logger   *slog.Logger
	now      func() time.Time
	// problem is what is wrong with this host at present, nil for nothing.
	problem atomic.Pointer[string]
	// off: its clock is. Nothing is served until it is right: what has expired is a question of the clock.
	off atomic.Bool
}

// id is what this host's row is found by, empty for an engine without one.
func (h *host) id() string {
	if h == nil {
		return ""
	}
	return h.instance
}

// join registers this host. A migration that takes away what this program uses, and a move that would take
// the store from it (rule 14), either see it or are seen: all lock the ledger's row.
func join(ctx context.Context, o *opened, logger *slog.Logger) (*host, error) {
	h := &host{
		pool: o.pool, schema: o.settings.schema(), instance: rand.Text(), logger: logger, now: o.settings.now,
	}
	if h.now == nil {
		h.now = time.Now
	}
	return h, h.register(ctx)
}

func (h *host) sql(text string) string { return schema.Qualify(h.schema, text) }

func (h *host) register(ctx context.Context) error {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) error {
		found := &schema.Found{}
		err := tx.QueryRow(ctx, h.sql(`SELECT v.version, l.needs FROM {s}.schema_version v, {s}.ledger l
			FOR SHARE OF l`)).Scan(&found.Schema, &found.Needs)
		if err != nil {
			return err
		}
		program := schema.Embedded()
		if err := program.Fits(found); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, h.sql(`DELETE FROM {s}.hosts WHERE beat < `+databaseTime+` - $1::bigint`),
			int64(forgotten))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, h.sql(`INSERT INTO {s}.hosts (instance, name, version, knows, joined, beat)
			VALUES ($1, $2, $3, $4, `+databaseTime+`, `+databaseTime+`)`),
			h.instance, name, version(), program.Newest())
		return err
	})
}

// beats says that this host runs, until it ends.
func (h *host) beats(ctx context.Context) {
	for {
		select {
		case <-time.After(beatPause):
		case <-ctx.Done():
			return
		}
		h.note(ctx, h.beat(ctx))
	}
}

// beat is a commit. A host whose row is gone was silent for long, and registers again: unless the store has
// left its program behind meanwhile.
func (h *host) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var database int64
	before := h.now()
	err := h.pool.QueryRow(ctx, h.sql(`UPDATE {s}.hosts SET beat = `+databaseTime+`
		WHERE instance = $1 RETURNING beat`), h.instance).Scan(&database)
	if errors.Is(err, pgx.ErrNoRows) {
		err = h.register(ctx)
		return explain(err, h.pool.Config().ConnConfig)
	}
	if err != nil {
		return explain(err, h.pool.Config().ConnConfig)
	}
	return checkClock(before, h.now(), time.Unix(0, database))
}

// note keeps what is wrong, and logs it when it changes.
func (h *host) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if off := errors.Is(err, errClock); off || err == nil { // otherwise it is not known
		h.off.Store(off)
	}
	if err == nil {
		if h.problem.Swap(nil) != nil {
			h.logger.InfoContext(ctx, "the database takes this host's beat again")
		}
		return
	}
	text := err.Error()
	if was := h.problem.Swap(&text); was == nil || *was != text {
		if errors.Is(err, errClock) || errors.Is(err, schema.ErrNewer) || errors.Is(err, schema.ErrOlder) {
			h.logger.ErrorContext(ctx, "this host is not what the store wants", "error", err)
			return
		}
		h.logger.ErrorContext(ctx, "the database does not take this host's beat", "at",
			place(h.pool.Config().ConnConfig), "error", err)
	}
}

// trouble says what is wrong with this host, empty for nothing.
func (h *host) trouble() string {
	if h == nil {
		return ""
	}
	if problem := h.problem.Load(); problem != nil {
		return *problem
	}
	return ""
}

// refuses is why this host serves nothing at present, nil where it serves.
func (h *host) refuses() error {
	if h != nil && h.off.Load() {
		return errClock
	}
	return nil
}

// leave takes this host's row away.
func (h *host) leave() {
	if h == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	// Without it the row is taken for a host that runs, for a minute.
	_, _ = h.pool.Exec(ctx, h.sql(`DELETE FROM {s}.hosts WHERE instance = $1`), h.instance)
}
