package postgres

// This host's registration in the store: its row, its heartbeat ("beat"), and its clock skew.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
)

const (
	// leaveTime bounds the deregistration of a host.
	leaveTime = time.Second
	// forgotten is how long the row of a silent host is kept. A migration ignores it earlier.
	forgotten = 10 * schema.HostSilence * time.Second
)

// host is this program's row in the table of hosts.
type host struct {
	pool     *pgxpool.Pool
	schema   string
	pooled   bool
	instance string
	logger   *slog.Logger
	now      func() time.Time
	lease    *lease
	killed   *progress
	// beating is held during a beat. conn is reserved for beats, so that they wait for no other call;
	// database is the database's time at the last beat.
	beating  sync.Mutex
	conn     *pgxpool.Conn
	database int64
	// problem is what is currently wrong with this host, nil for nothing.
	problem atomic.Pointer[string]
	// off: its clock is off. Nothing is served until it is right, because expiry depends on the clock.
	off atomic.Bool
}

// id is the key of this host's row, empty for an engine without one.
func (h *host) id() string {
	if h == nil {
		return ""
	}
	return h.instance
}

// join registers this host. It excludes a migration that removes what this program uses, and a move that
// would take the store from it (rule 14): all of them lock the ledger's row, so that each sees the others.
func join(ctx context.Context, o *opened, logger *slog.Logger) (*host, error) {
	h := &host{
		pool: o.pool, schema: o.settings.schema(), pooled: isPooled(o.pool), instance: rand.Text(),
		logger: logger, now: o.settings.now, killed: &progress{},
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
	var length int64
	var slots []int64
	err = pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) error {
		found := &schema.Found{}
		err := tx.QueryRow(ctx, h.sql(`SELECT v.version, l.needs, l.lease
			FROM {s}.schema_version v, {s}.ledger l FOR SHARE OF l`)).
			Scan(&found.Schema, &found.Needs, &length)
		if err != nil {
			return err
		}
		program := schema.Embedded()
		if err := program.Fits(found); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, h.sql(`DELETE FROM {s}.hosts
			WHERE lapsed AND beat < `+databaseTime+` - $1::bigint`), int64(forgotten))
		if err != nil {
			return err
		}
		// Every later read sees what was killed by now.
		return tx.QueryRow(ctx, h.sql(`INSERT INTO {s}.hosts
			(instance, name, version, knows, joined, beat, applied)
			VALUES ($1, $2, $3, $4, `+databaseTime+`, `+databaseTime+`, (`+askKilled+`))
			ON CONFLICT (instance) DO UPDATE SET beat = EXCLUDED.beat, applied = EXCLUDED.applied,
				number = hosts.number + 1, lapsed = false
			RETURNING applied`), h.instance, name, version(), program.Newest()).Scan(&slots)
	})
	if err != nil {
		return err
	}
	if h.lease == nil {
		h.lease = newLease(time.Duration(length))
	}
	h.lease.begin(slots, h.killed.begin(slots))
	return nil
}

// beats sends beats until the host ends. A waiter triggers the next beat immediately.
func (h *host) beats(ctx context.Context) {
	for emptied := time.Now(); ; {
		began := time.Now()
		h.note(ctx, h.beat(ctx))
		if time.Since(emptied) > time.Duration(killSpan/2) {
			emptied = time.Now()
			_ = h.emptyKills(ctx) // a partition being read is emptied the next time
		}
		pause := time.After(h.lease.length/beatsOfLease - time.Since(began))
		select {
		case <-pause:
			continue
		case <-h.lease.hurry:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(h.lease.length/shortestPause - time.Since(began)):
		case <-ctx.Done():
			return
		}
	}
}

// beat commits, and reads the kills of other hosts. A host whose row is gone or marked was silent for long,
// and registers again, unless the store no longer supports its program.
func (h *host) beat(ctx context.Context) (err error) {
	h.beating.Lock()
	defer h.beating.Unlock()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	defer func() { err = explain(err, h.pool.Config().ConnConfig) }()
	if err := h.connect(ctx); err != nil {
		return err
	}
	number, applied := h.lease.send()
	sent, before := time.Now(), h.now()
	b, found, err := h.ask(ctx, number, applied)
	if errors.Is(err, pgx.ErrNoRows) {
		return h.register(ctx)
	}
	if err != nil {
		if h.disconnect(); lost(err) {
			h.pool.Reset() // idle connections lead to the same server
		}
		return err
	}
	h.database = b.database
	h.lease.committed(number, sent)
	after := h.now()
	for i := range found {
		b.awaited = b.awaited || found[i].awaited
	}
	b.slots, b.position = h.killed.read(found, b.slots)
	for _, p := range h.lease.confirm(b) {
		if err := h.markLapsed(ctx, &p); err != nil && !conflict(err) {
			h.disconnect()
			return err
		}
	}
	return checkClock(before, after, time.Unix(0, b.database))
}

// markLapsed marks a silent host. A beat of that host in flight comes first, and is seen here; a beat that
// hangs is waited for briefly, and again after the next beat.
func (h *host) markLapsed(ctx context.Context, p *hostRow) error {
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue(shortLockTimeout)
	batch.Queue(h.sql("UPDATE {s}.hosts SET lapsed = true WHERE instance = $1 AND number = $2"),
		p.instance, p.number)
	batch.Queue("COMMIT")
	err := h.conn.SendBatch(ctx, batch).Close()
	if err != nil && !h.conn.Conn().IsClosed() {
		_, _ = h.conn.Exec(ctx, "ROLLBACK")
	}
	return err
}

func (h *host) connect(ctx context.Context) (err error) {
	if h.conn == nil {
		h.conn, err = h.pool.Acquire(ctx)
	}
	return err
}

// disconnect closes the connection for beats: the next beat looks for the primary again.
func (h *host) disconnect() {
	if h.conn != nil {
		_ = h.conn.Conn().Close(context.Background())
		h.conn.Release()
		h.conn = nil
	}
}

const (
	sendBeat = `UPDATE {s}.hosts SET beat = ` + databaseTime + `, number = $2,
		applied = coalesce($3::bigint[], applied) WHERE instance = $1 AND NOT lapsed RETURNING beat`
	askPeers = "SELECT instance, number, lapsed, applied FROM {s}.hosts"
)

// ask sends a beat and reads what is new, in one round trip. Each statement sees what was committed when it
// began, which is after the moment from which the lease runs.
func (h *host) ask(ctx context.Context, number int64, applied []int64) (b *beat, found []killed, err error) {
	batch, state := &pgx.Batch{}, int16(0)
	b = &beat{number: number}
	for _, s := range beginning(h.pooled, "BEGIN") {
		batch.Queue(s.sql)
	}
	batch.Queue(h.sql(sendBeat), h.instance, number, applied).
		QueryRow(func(row pgx.Row) error { return row.Scan(&b.database) })
	batch.Queue(h.sql("SELECT state FROM {s}.ledger")).
		QueryRow(func(row pgx.Row) error { return row.Scan(&state) })
	batch.Queue(h.sql(askKilled)).QueryRow(func(row pgx.Row) error { return row.Scan(&b.slots) })
	batch.Queue(h.sql(askKills), h.killed.snapshot(), mostKills).Query(func(rows pgx.Rows) (err error) {
		found, err = pgx.CollectRows(rows, killedOf)
		return err
	})
	batch.Queue(h.sql(askPeers)).Query(func(rows pgx.Rows) (err error) {
		b.hosts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p hostRow, err error) {
			return p, row.Scan(&p.instance, &p.number, &p.lapsed, &p.applied)
		})
		return err
	})
	batch.Queue("COMMIT").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return fmt.Errorf("the commit of a beat was answered %q", tag)
		}
		return nil
	})
	if err := h.conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, nil, err
	}
	b.state, err = stateOf(state)
	return b, found, err
}

// note records what is wrong, and logs changes.
func (h *host) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if off := errors.Is(err, errClock); off || err == nil { // otherwise it is unknown
		h.off.Store(off)
	}
	if err == nil {
		if h.problem.Swap(nil) != nil {
			h.logger.InfoContext(ctx, "the database accepts this host's beat again")
		}
		return
	}
	text := err.Error()
	if was := h.problem.Swap(&text); was == nil || *was != text {
		if errors.Is(err, errClock) || errors.Is(err, schema.ErrNewer) || errors.Is(err, schema.ErrOlder) {
			h.logger.ErrorContext(ctx, "this host may not use the store", "error", err)
			return
		}
		h.logger.ErrorContext(ctx, "the database does not accept this host's beat", "at",
			place(h.pool.Config().ConnConfig), "error", err)
	}
}

// trouble returns what is wrong with this host, or "".
func (h *host) trouble() string {
	if h == nil {
		return ""
	}
	if problem := h.problem.Load(); problem != nil {
		return *problem
	}
	return ""
}

// standing returns the number of the beat that a read must see, and whether the lease is valid. A host
// without beats only reads.
func (h *host) standing() (number int64, lasts bool) {
	if h == nil {
		return -1, true
	}
	return h.lease.holds()
}

// refuses returns why this host currently serves nothing, or nil.
func (h *host) refuses() error {
	if h != nil && h.off.Load() {
		return errClock
	}
	return nil
}

// leave deletes this host's row once its copies are no longer used.
func (h *host) leave() {
	if h == nil {
		return
	}
	h.beating.Lock()
	h.disconnect()
	h.beating.Unlock()
	h.lease.awaitExpiry() // without the row no host waits for its copies
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	// If this fails, the row counts as a running host for a minute.
	_, _ = h.pool.Exec(ctx, h.sql(`DELETE FROM {s}.hosts WHERE instance = $1`), h.instance)
}
