package postgres

// Committers: waiting changes are grouped into one database transaction.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/spans"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	queueLength = 1024
	// attempts bounds the attempts of a call that conflicts with other transactions, patience the time to
	// wait for an unreachable database.
	attempts = 20
	patience = 10 * time.Second
	pause    = 5 * time.Millisecond
)

// call is a caller's part of a transaction. run may be called several times, until a transaction commits, and
// may still run after its caller has returned: see answer.
type call struct {
	ctx  context.Context // if it has ended before the call starts, the call is not carried out
	now  time.Time
	plan plan
	// admits decides whether the state of the store allows the call.
	admits func(transfer.State) error
	run    func(t *tx) error
	// scans: run scans indexes, so changes of earlier calls must be written first.
	scans bool
	// once: a conflict is not retried. The call has its own transaction.
	once bool
	// ends is tx.ends of the last run.
	ends bool
	done chan error
	// spans records the spans of a traced call, nil otherwise; asked is when its wait began.
	spans *spans.Recorder
	asked time.Time
}

// answer passes a call to carry and returns the result of f in the last run. f returns its results and must
// not set outer variables: a run may be repeated, or may still be running after the caller's context has
// ended and carry has returned an error.
func answer[T any](c *call, carry func(c *call) error, f func(t *tx) (T, error)) (none T, err error) {
	var last T
	c.run = func(t *tx) (err error) {
		last, err = f(t)
		return err
	}
	if err := carry(c); err != nil {
		return none, err
	}
	return last, nil // carry returns after the last run
}

// update changes the store by f, unless the request is invalid. It returns when the change is durable and, if
// it acknowledges an end (tx.ends), known to all hosts. If the caller's context ends, a change that has begun
// still completes: a write is never cancelled.
func update[T any](
	ctx context.Context, e *Engine, now time.Time, invalid error, p *plan, f func(t *tx) (T, error),
) (none T, err error) {
	if invalid != nil {
		return none, invalid
	}
	c := &call{ctx: ctx, now: now, plan: *p, admits: rules.Writes}
	result, err := answer(c, e.submit, f)
	if err == nil && c.ends {
		err = e.awaitHosts(ctx)
	}
	if err != nil {
		return none, err
	}
	return result, nil
}

// scan is an update by background work, or by a part of a call: f scans indexes, and sees what earlier calls
// in its transaction did. It does not wait for other hosts.
func scan[T any](
	ctx context.Context, e *Engine, now time.Time, p *plan, f func(t *tx) (T, error),
) (T, error) {
	return answer(&call{ctx: ctx, now: now, plan: *p, admits: rules.Writes, scans: true}, e.submit, f)
}

var seed = maphash.MakeSeed()

func (e *Engine) submit(c *call) error {
	return e.wait(c, e.committers[maphash.String(seed, c.plan.affinity)%uint64(len(e.committers))].queue)
}

// wait enqueues a call and waits for its answer.
func (e *Engine) wait(c *call, queue chan<- *call) error {
	c.done = make(chan error, 1)
	c.traced()
	if e.closed.Load() {
		return errClosed
	}
	if err := e.host.refuses(); err != nil {
		return err
	}
	select {
	case queue <- c:
	case <-c.ctx.Done():
		return c.ctx.Err()
	case <-e.background.Done():
		return errClosed
	}
	select {
	case err := <-c.done:
		return err
	case <-c.ctx.Done():
		return fmt.Errorf("%w: the call goes on: %w", ticketstore.ErrUnavailable, c.ctx.Err())
	case <-e.background.Done():
		select { // it may be done already
		case err := <-c.done:
			return err
		case <-time.After(closeTimeout):
			return errClosed
		}
	}
}

// closeTimeout is how long a running change may take once the engine closes.
const closeTimeout = time.Second

// committer is the only writer under its slot. It works on one group at a time; calls that arrive meanwhile
// form the next group.
type committer struct {
	*Engine
	slot  int
	queue chan *call
}

func (c *committer) run() {
	for {
		calls := c.gather(c.queue)
		if calls == nil {
			return
		}
		c.carryOut(calls)
	}
}

// gather waits for a call and takes those queued behind it. It returns nil when there is no more to do.
//
// It yields to runnable callers first: those answered by the previous group are about to call again, and a
// group's calls share the cost of its transaction.
func (e *Engine) gather(queue <-chan *call) (calls []*call) {
	select {
	case first := <-queue:
		calls = append(calls, first)
	case <-e.background.Done():
		return nil
	}
	for yielded := false; len(calls) < e.together; {
		select {
		case next := <-queue:
			calls, yielded = append(calls, next), false
		default:
			if yielded {
				return calls
			}
			runtime.Gosched()
			yielded = true
		}
	}
	return calls
}

// carryOut tries calls as one group. If the group fails, they are tried one by one, so that a conflict of one
// call, such as a key taken by another host, does not delay the others further.
func (c *committer) carryOut(calls []*call) {
	calls = slices.DeleteFunc(calls, func(call *call) bool {
		if call.once {
			call.done <- c.tryAlone(call)
		}
		return call.once
	})
	if len(calls) == 0 {
		return
	}
	answers, err := c.try(calls)
	if err == nil {
		for i, call := range calls {
			call.done <- answers[i]
		}
		return
	}
	for _, call := range calls {
		call.done <- c.tryAlone(call)
	}
}

// tryAlone tries one call until it has an answer.
func (c *committer) tryAlone(alone *call) (answer error) {
	err := c.retrying(c.background, func() error {
		answers, err := c.try([]*call{alone})
		switch {
		case err == nil:
			answer = answers[0]
		case alone.once && conflict(err):
			answer = errConflict
			return nil
		}
		return err
	})
	return errors.Join(answer, err)
}

// try carries out calls in one transaction and returns their answers. An error is the error of the
// transaction: nothing was written, or the outcome is unknown.
func (c *committer) try(calls []*call) ([]error, error) {
	at := moments{began: time.Now()}
	conn, err := c.pool.Acquire(c.background)
	if err != nil {
		return nil, err
	}
	defer func() { release(conn) }()
	// A transaction that has begun is completed, even while the engine closes.
	ctx := context.WithoutCancel(c.background)
	g := newGroup(ctx, c.Engine, conn.Conn())
	g.locks, g.slot.number, g.at = true, c.slot, records.Nanos(latest(calls))
	wanted := &plan{}
	for _, call := range calls {
		wanted.add(&call.plan)
	}
	g.start("BEGIN", statement{lockSlot, []any{c.slot, c.host.id()}}, func(slot pgx.Row) error {
		var state int16
		s := &g.slot
		err := slot.Scan(&state, &s.position, &s.counts, &s.sums, &s.kills, &g.seen)
		if err == nil {
			g.state, err = stateOf(state)
		}
		return err
	}, wanted.queries()...)
	g.planned(wanted)
	answers := g.perform(calls)
	if g.err != nil {
		return nil, g.err
	}
	at.judged = time.Now()
	id := [16]byte([]byte(rand.Text()))
	if err := g.commit(ctx, id, g.at); err != nil {
		if !lost(err) {
			return nil, err
		}
		if err := c.resolve(id, g.slot.position, err); err != nil {
			return answers, err // if it has killed, the next beat reads the kill
		}
	}
	if g.kills() {
		c.killed.own(c.slot, g.slot.kills, &g.kill) // before the answers
	}
	at.durable = time.Now()
	c.meter.committed(calls, at, g.wrote)
	return answers, nil
}

// perform runs the calls one after another. The changes of a failed call are undone.
func (g *group) perform(calls []*call) []error {
	answers := make([]error, len(calls))
	for i, call := range calls {
		if g.err != nil {
			return nil
		}
		if answers[i] = call.ctx.Err(); answers[i] != nil {
			continue
		}
		if answers[i] = call.admits(g.state); answers[i] != nil {
			continue
		}
		if call.scans {
			g.write(records.Nanos(call.now))
		}
		before, t := g.savepoint(), &tx{group: g, now: call.now}
		if answers[i] = call.run(t); answers[i] != nil {
			g.rollback(before)
		}
		call.ends = t.ends
		g.awaited = g.awaited || t.ends
	}
	return answers
}

func latest(calls []*call) (now time.Time) {
	for _, call := range calls {
		if call.now.After(now) {
			now = call.now
		}
	}
	return now
}

// resolve finds out from the slot whether a transaction was committed whose answer was lost. Locking the slot
// waits for the server to finish that transaction.
func (c *committer) resolve(id [16]byte, position int64, cause error) error {
	var last [16]byte
	var now int64
	err := c.retrying(c.background, func() error {
		return c.pool.QueryRow(c.background, c.sql(`SELECT position, coalesce(last, gen_random_uuid())
			FROM {s}.slots WHERE slot = $1 FOR UPDATE`), c.slot).Scan(&now, &last)
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errUnknown, err)
	case last == id:
		return nil
	case now == position:
		return cause // nothing was written: it may be retried
	}
	return fmt.Errorf("%w: %w", errUnknown, cause)
}

// errUnknown means that the outcome of a transaction is unknown. The caller resolves it by its operation's
// id.
var errUnknown = errors.New("the answer to a commit was lost")

// release returns a connection to the pool, without an open transaction.
func release(conn *pgxpool.Conn) {
	if conn.Conn().PgConn().TxStatus() != 'I' && !conn.Conn().IsClosed() {
		_, _ = conn.Exec(context.Background(), "ROLLBACK")
	}
	conn.Release()
}
