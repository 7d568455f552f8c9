package postgres

// Committers: changes that wait are gathered into one transaction of the database.

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
	// attempts bounds how often a call is tried that meets conflicts with other transactions, patience how
	// long for a database that cannot be reached.
	attempts = 20
	patience = 10 * time.Second
	pause    = 5 * time.Millisecond
)

// call is what a caller wants done in a transaction. run may be called several times, until one commits, and
// may go on after its caller has gone: see answer.
type call struct {
	ctx  context.Context // one that is over before the call's turn has come is not carried out
	now  time.Time
	plan plan
	// admits decides whether the store takes the call in its state.
	admits func(transfer.State) error
	run    func(t *tx) error
	// scans: run looks along indexes, so that what calls before it have changed is written first.
	scans bool
	// once: a conflict is the answer. The call has a transaction of its own.
	once bool
	// ends is what the run said that counts: tx.ends.
	ends bool
	done chan error
	// spans has what is told of a call that is traced, nil for any other, which waits since asked.
	spans *spans.Recorder
	asked time.Time
}

// answer has carry take a call through the engine, and returns what f has returned in the run that counts. f
// returns its results and sets nothing outside: a run may be repeated, or may still be under way when the
// caller has gone and carry has returned an error.
func answer[T any](c *call, carry func(c *call) error, f func(t *tx) (T, error)) (none T, err error) {
	var last T
	c.run = func(t *tx) (err error) {
		last, err = f(t)
		return err
	}
	if err := carry(c); err != nil {
		return none, err
	}
	return last, nil // carry has returned behind the last run
}

// update has f change the store, unless the request is invalid. It returns when the change is durable, and
// known to all hosts where it acknowledges an end (tx.ends). A caller that goes leaves a change that has
// begun to its end: a write is never cancelled.
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

// scan is an update by background work, or by a part of a call: f looks along indexes, and sees what calls
// before it in its transaction did. It waits for no host.
func scan[T any](
	ctx context.Context, e *Engine, now time.Time, p *plan, f func(t *tx) (T, error),
) (T, error) {
	return answer(&call{ctx: ctx, now: now, plan: *p, admits: rules.Writes, scans: true}, e.submit, f)
}

var seed = maphash.MakeSeed()

func (e *Engine) submit(c *call) error {
	return e.wait(c, e.committers[maphash.String(seed, c.plan.affinity)%uint64(len(e.committers))].queue)
}

// wait hands a call over and waits for its answer.
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
		select { // it may have been done before
		case err := <-c.done:
			return err
		case <-time.After(closeTimeout):
			return errClosed
		}
	}
}

// closeTimeout is how long a change that has begun may take once the engine closes.
const closeTimeout = time.Second

// committer is the only one that writes under its slot. It works on one group at a time; what comes meanwhile
// waits and is the next group.
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

// gather waits for a call and takes those that wait behind it. Nil means that no more is to be done.
//
// Callers that can run go first: those that the group before has answered are about to ask again, and what a
// transaction costs is shared by those that are in it.
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

// carryOut tries calls as one group. A group that fails is tried again one by one: what one call meets, such
// as a key that another host took meanwhile, delays no other for longer.
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

// try carries out calls in one transaction and returns their answers. An error is that of the transaction:
// nothing was written, or it is not known whether it was.
func (c *committer) try(calls []*call) ([]error, error) {
	at := moments{began: time.Now()}
	conn, err := c.pool.Acquire(c.background)
	if err != nil {
		return nil, err
	}
	defer func() { release(conn) }()
	// What has begun is brought to its end, also while the engine closes.
	ctx := context.WithoutCancel(c.background)
	g := newGroup(ctx, c.Engine, conn.Conn())
	g.locks, g.slot.number = true, c.slot
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
	if err := g.commit(ctx, id, records.Nanos(latest(calls))); err != nil {
		if !lost(err) {
			return nil, err
		}
		if err := c.resolve(id, g.slot.position, err); err != nil {
			return answers, err // if it killed, the next beat says so
		}
	}
	if g.kills() {
		c.killed.own(c.slot, g.slot.kills, &g.kill) // before the answers
	}
	at.durable = time.Now()
	c.meter.committed(calls, at, g.wrote)
	return answers, nil
}

// perform has the calls work one after the other. What one that fails has changed is undone.
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

// resolve finds out whether a transaction was committed whose answer was lost, by what the slot says. Its
// lock waits for the server to be done with that transaction.
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
		return cause // nothing was written: it may be tried again
	}
	return fmt.Errorf("%w: %w", errUnknown, cause)
}

// errUnknown: it is not known whether a transaction was committed. The caller asks by its operation's id.
var errUnknown = errors.New("the answer to a commit was lost")

// release gives a connection back without a transaction.
func release(conn *pgxpool.Conn) {
	if conn.Conn().PgConn().TxStatus() != 'I' && !conn.Conn().IsClosed() {
		_, _ = conn.Exec(context.Background(), "ROLLBACK")
	}
	conn.Release()
}
