package postgres

// The engine: its pool, its committers and readers, and its stores.

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/loglimit"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Engine is a store in a schema of a database.
type Engine struct {
	pool   *pgxpool.Pool
	schema string // quoted
	logger *slog.Logger
	host   *host
	killed *progress

	committers []*committer
	readers    []*reader
	together   int // maximum calls per transaction
	pooled     bool
	// background is the context of work without a caller. It ends with the engine.
	background context.Context
	stop       context.CancelFunc
	work       sync.WaitGroup
	closed     atomic.Bool

	statements sync.Map // by their text, qualified with the schema
	notices    atomic.Uint32
	next       atomic.Uint64 // reader
	incomplete atomic.Uint64 // reads whose plan was incomplete
	// served is the client served last by a claim. The round robin is per host, and starts anew after a
	// restart.
	served atomic.Pointer[string]
	// counted is the client that the last purge of counts ended with.
	counted atomic.Pointer[string]
	// emptying: partitions are being emptied.
	emptying atomic.Bool
	meter    meter
	// failures limits log lines about a failing database.
	failures loglimit.Lines
}

// The stores, all over the same rows.
type (
	tickets    struct{ *Engine }
	grants     struct{ *Engine }
	endings    struct{ *Engine }
	properties struct{ *Engine }
)

var (
	_ ticketstore.Store      = tickets{}
	_ grantstore.Store       = grants{}
	_ logout.Store           = endings{}
	_ ticketstore.Properties = properties{}
)

// gathering is the number of committers and readers of a host, and the maximum calls per transaction.
type gathering struct{ committers, readers, calls int }

var defaultGathering = gathering{committers: 2, readers: 2, calls: 64}

// newEngine starts serving a schema (quoted) with tables, as a host, which may be nil in tests. Close stops
// it but does not close the pool.
func newEngine(
	ctx context.Context, pool *pgxpool.Pool, schema string, host *host, logger *slog.Logger, g gathering,
) (*Engine, error) {
	e := &Engine{
		pool: pool, schema: schema, host: host, killed: &progress{}, logger: logger, together: g.calls,
		pooled: isPooled(pool),
	}
	if host != nil {
		e.killed = host.killed
	}
	e.background, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	e.notices.Store(binary.BigEndian.Uint32([]byte(rand.Text())))
	for range g.committers {
		slot, err := e.claimSlot(ctx)
		if err != nil {
			e.close()
			return nil, err
		}
		c := &committer{Engine: e, slot: slot, queue: make(chan *call, queueLength)}
		e.committers = append(e.committers, c)
		e.work.Go(c.run)
	}
	for range g.readers {
		r := &reader{Engine: e, queue: make(chan *call, queueLength)}
		e.readers = append(e.readers, r)
		e.work.Go(r.run)
	}
	if host != nil {
		e.work.Go(func() { host.beats(e.background) })
	}
	e.work.Go(e.resuming)
	return e, nil
}

// claimSlot claims the slot that was claimed the longest ago. If there are more committers than slots, some
// share a slot and wait for each other. It waits for a change of the store's state, which locks all slots.
func (e *Engine) claimSlot(ctx context.Context) (number int, err error) {
	claim := func(locked string) error {
		return e.pool.QueryRow(ctx, e.sql(`UPDATE {s}.slots SET instance = $1,
			claimed = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
			WHERE slot = (SELECT slot FROM {s}.slots ORDER BY claimed, slot LIMIT 1 FOR UPDATE `+locked+`)
			RETURNING slot`), rand.Text()).Scan(&number)
	}
	if err = claim("SKIP LOCKED"); errors.Is(err, pgx.ErrNoRows) {
		err = claim("")
	}
	if err != nil {
		return 0, fmt.Errorf("claim a slot: %w", err)
	}
	return number, nil
}

// sql returns a statement with {s} replaced by the schema's name.
func (e *Engine) sql(text string) string {
	if known, ok := e.statements.Load(text); ok {
		return known.(string)
	}
	named := strings.ReplaceAll(text, "{s}", e.schema)
	e.statements.Store(text, named)
	return named
}

// Tickets implements sessions.Backend.
func (e *Engine) Tickets() ticketstore.Store { return tickets{e} }

// Grants implements sessions.Backend.
func (e *Engine) Grants() grantstore.Store { return grants{e} }

// Logout implements sessions.Backend.
func (e *Engine) Logout() logout.Store { return endings{e} }

// Properties implements sessions.Backend.
func (e *Engine) Properties() ticketstore.Properties { return properties{e} }

// close waits for running calls. Later calls are refused.
func (e *Engine) close() {
	e.closed.Store(true)
	e.stop()
	e.killed.log.Close()
	e.work.Wait()
}

var errClosed = fmt.Errorf("%w: it is closed", ticketstore.ErrUnavailable)

// anyTime is the now of a request that does not depend on time.
var anyTime time.Time

func missing(what string) error { return fmt.Errorf("%s: %w", what, ticketstore.ErrNotFound) }

// states maps the numbers in the database to states.
var states = [...]transfer.State{
	transfer.Active, transfer.Exporting, transfer.Fenced, transfer.Superseded, transfer.Importing,
	transfer.Abandoned,
}

func stateOf(number int16) (transfer.State, error) {
	if number < 0 || int(number) >= len(states) {
		return "", errors.New("the store's state is none that this program knows")
	}
	return states[number], nil
}
