package postgres

// Reads, each from one snapshot. Waiting reads share a snapshot.

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

const beginSnapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

const askState = `SELECT state, coalesce((SELECT number FROM {s}.hosts WHERE instance = $1), -1)
	FROM {s}.ledger`

func newGroup(ctx context.Context, e *Engine, conn *pgx.Conn) *group {
	g := &group{
		Engine: e, ctx: ctx, conn: conn, rows: map[name]*row{}, uses: map[string][]*row{},
		whole: map[string]bool{},
	}
	g.least, g.leased = e.host.standing()
	return g
}

// current returns an error if what was read may be outdated: this host had no lease when the transaction
// began, or the server lacks a beat that was committed by then, so that it is no longer the primary. It must
// be called for each transaction that ends without a commit (rule 15).
func (g *group) current() error {
	switch {
	case !g.leased:
		return errLease
	case g.seen < g.least:
		_ = g.conn.Close(g.ctx) // the next connection is to the primary
		return errLeftBehind
	}
	return nil
}

// reads decides whether a store in a state may be read, in the snapshot of the read. Hosts do not read a
// fenced store: another host may already serve its successor, and have ended there what is live here (rules
// 14 and 15).
func (e *Engine) reads(state transfer.State) error {
	if e.host == nil {
		return rules.Serves(state)
	}
	return rules.Writes(state)
}

// view runs a read-only request, unless it is invalid, on a connection of its own, for as long as necessary.
// Changes made by f are not written.
func view[T any](
	ctx context.Context, e *Engine, now time.Time, invalid error, f func(t *tx) (T, error),
) (none T, err error) {
	if invalid != nil {
		return none, invalid
	}
	return answer(&call{ctx: ctx, now: now, admits: e.reads}, e.look, f)
}

// find is a view of rows named by its plan, batched with other calls.
func find[T any](
	ctx context.Context, e *Engine, now time.Time, invalid error, p *plan, f func(t *tx) (T, error),
) (none T, err error) {
	if invalid != nil {
		return none, invalid
	}
	queue := e.readers[e.next.Add(1)%uint64(len(e.readers))].queue
	carry := func(c *call) error { return e.wait(c, queue) }
	return answer(&call{ctx: ctx, now: now, plan: *p, admits: e.reads}, carry, f)
}

// look runs one call in a snapshot.
func (e *Engine) look(c *call) (answer error) {
	c.traced()
	if e.closed.Load() {
		return errClosed
	}
	if err := e.host.refuses(); err != nil {
		return err
	}
	err := e.retrying(c.ctx, func() error {
		answers, err := e.snapshot(c.ctx, []*call{c}, false)
		if err == nil {
			answer = answers[0]
		}
		return err
	})
	if err != nil {
		return err
	}
	return answer
}

// snapshot runs calls in one snapshot. A sealed snapshot is one round trip, for complete plans.
func (e *Engine) snapshot(ctx context.Context, calls []*call, sealed bool) ([]error, error) {
	began := time.Now()
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release(conn)
	g := newGroup(ctx, e, conn.Conn())
	wanted := &plan{}
	for _, c := range calls {
		wanted.add(&c.plan)
	}
	g.sealed, g.at = sealed, records.Nanos(latest(calls))
	g.start(beginSnapshot, statement{askState, []any{e.host.id()}}, func(state pgx.Row) error {
		var number int16
		err := state.Scan(&number, &g.seen)
		if err == nil {
			g.state, err = stateOf(number)
		}
		if err == nil {
			err = g.current()
		}
		return err
	}, wanted.queries()...)
	g.planned(wanted)
	answers := g.perform(calls)
	if g.err == nil {
		hasRead(calls, began)
	}
	return answers, g.err
}

// reader runs waiting reads.
type reader struct {
	*Engine
	queue chan *call
}

func (r *reader) run() {
	for {
		calls := r.gather(r.queue)
		if calls == nil {
			return
		}
		answers, err := r.snapshot(r.background, calls, true)
		if err == nil {
			for i, c := range calls {
				c.done <- answers[i]
			}
			continue
		}
		if errors.Is(err, errIncomplete) {
			r.incomplete.Add(1)
		}
		// A call with an incomplete plan, or an unreachable database, must not delay the others.
		for _, c := range calls {
			r.work.Go(func() { c.done <- r.look(c) })
		}
	}
}
