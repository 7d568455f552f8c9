package grantcache

// Cache: the stream that it follows, and its waiters.

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Backoff between two streams to one process.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Cache holds copies of the live tokens of one process.
type Cache struct {
	config  Config
	current atomic.Pointer[copies] // nil while no stream is followed
	lease   atomic.Pointer[lease]  // the last lease, nil before the first
}

// Config is the configuration of a Cache; all fields but Leases are required.
type Config struct {
	Kills grantstore.Kills
	// Leases are the Leases of Kills if several hosts share the store: copies are then used only under a
	// lease. Nil if this host has the store to itself.
	Leases grantstore.Leases
	// Bound is the maximum memory of the copies, in bytes.
	Bound int64
	// Patience is how long an answer waits for its kill: after that the stream counts as stuck and all copies
	// are dropped (see Await). It must be less than the timeout of calls.
	Patience time.Duration
	// Meter may be shared with other caches.
	Meter  *Meter
	Logger *slog.Logger
}

// New returns a cache that follows kills once Follow is called.
func New(config Config) *Cache { return &Cache{config: config} }

// Follow follows the kills until the context ends. The cache is empty before Follow begins and after it
// returns.
func (c *Cache) Follow(ctx context.Context) {
	if c.config.Leases != nil {
		var renewing sync.WaitGroup
		defer func() {
			renewing.Wait()
			c.release()
		}()
		renewing.Go(func() { c.renew(ctx) })
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		began := time.Now()
		err := c.stream(ctx)
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, ticketstore.ErrUnavailable) { // a process that ends is reported by the supervisor
			c.config.Logger.WarnContext(ctx, "cached access tokens were dropped: the stream of kills failed",
				"error", err, "next_try_in", pause.String())
		}
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// stream follows one stream until its end, with copies for as long.
func (c *Cache) stream(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var held *copies
	for kill, err := range c.config.Kills.Follow(ctx) {
		switch {
		case err != nil:
			if held == nil {
				return err
			}
			return errors.Join(err, c.drop(held))
		case held == nil:
			held = newCopies(kill.Position, c.config.Bound, c.config.Meter, cancel)
			c.current.Store(held)
		case !held.apply(kill):
			return errors.Join(errGap, c.drop(held))
		}
	}
	if held != nil {
		_ = c.drop(held)
	}
	return errEnded
}

var (
	errGap   = errors.New("a kill is missing in the stream")
	errEnded = errors.New("the stream of kills has ended")
	errStuck = errors.New("the stream of kills is stuck")
)

// drop takes copies out of use permanently. It returns the reason if that was done before.
func (c *Cache) drop(held *copies) error {
	c.current.CompareAndSwap(held, nil)
	return held.end(nil)
}

// Await returns once the answer at a position may be returned: once the copies have applied the kills up to
// it, or if there are none. Its only error is that of ctx.
//
// Copies that do not catch up in time are dropped. Without copies the answer may be returned, because a later
// stream begins after its kill. So a stuck or slow stream delays the answers of removals, and other reads, by
// at most Config.Patience.
func (c *Cache) Await(ctx context.Context, position uint64) error {
	if c.lagging(position) == nil {
		return nil
	}
	patient, cancel := context.WithTimeout(ctx, c.config.Patience)
	defer cancel()
	for held := c.lagging(position); held != nil; held = c.lagging(position) {
		advanced := held.waitFor(position)
		if advanced == nil {
			continue // caught up, or ended and about to be dropped
		}
		select {
		case <-advanced:
		case <-patient.Done():
			if err := ctx.Err(); err != nil {
				return err
			}
			c.current.CompareAndSwap(held, nil)
			_ = held.end(errStuck)
		}
	}
	return nil
}

// lagging returns the copies if they have not reached a position, else nil.
func (c *Cache) lagging(position uint64) *copies {
	if held := c.current.Load(); held != nil && held.applied.Load() < position {
		return held
	}
	return nil
}

// get returns the copy of a live token, or nil on a miss.
func (c *Cache) get(ref grantstore.Ref, now time.Time) *grantstore.GetResult {
	held := c.current.Load()
	if held == nil {
		c.config.Meter.misses.Add(1)
		return nil
	}
	found := held.get(ref)
	if found != nil && !c.leased() {
		c.config.Meter.unleased.Add(1)
		found = nil
	}
	if found == nil || found.Memo.Rejected() || !rules.StillLive(found, now) {
		c.config.Meter.misses.Add(1)
		return nil
	}
	c.config.Meter.hits.Add(1)
	return found
}

// call is a read or a write in flight to the plugin.
type call struct {
	held  *copies
	since uint64
}

// begin begins a call. All kills up to the position of the copies were durable when they were streamed, so
// the call sees them.
func (c *Cache) begin() call {
	held := c.current.Load()
	if held == nil {
		return call{}
	}
	return call{held, held.applied.Load()}
}

// fill caches a live grant that was read or stored, unless a kill since the call began names it. It returns
// the cached copy, or its argument if nothing was cached.
func (c call) fill(found *grantstore.GetResult) *grantstore.GetResult {
	if c.held == nil {
		return found
	}
	return c.held.fill(found, c.since)
}

// stored caches the tokens that a batch has stored in a session.
func (c call) stored(batch *grantstore.Batch, session *grantstore.SessionTimes) {
	if c.held == nil || session == nil {
		return
	}
	for i := range batch.Store {
		if g := &batch.Store[i]; isCopied(g.Type) && g.Consumed.IsZero() {
			c.held.fill(&grantstore.GetResult{Grant: normalized(g), Session: session}, c.since)
		}
	}
}

// normalized returns a grant as a store returns it: in UTC and without a monotonic clock. Its strings are
// cloned: the given ones may be substrings of longer ones, which the bound does not count.
func normalized(g *grantstore.Grant) grantstore.Grant {
	read := *g
	read.Created = records.Moment(records.Nanos(g.Created))
	read.Expires = records.Moment(records.Nanos(g.Expires))
	texts := [...]*string{
		&read.RequestID, &read.SubjectID, &read.SessionID, &read.ClientID, &read.Description,
	}
	var joined strings.Builder
	for _, text := range texts {
		joined.WriteString(*text)
	}
	rest := joined.String()
	for _, text := range texts {
		*text, rest = rest[:len(*text)], rest[len(*text):]
	}
	return read
}

// forget removes the copy of a token that was used.
func (c *Cache) forget(ref grantstore.Ref) {
	if held := c.current.Load(); held != nil {
		held.forget(ref)
	}
}

// Meter counts the activity of caches. It is safe for concurrent use.
type Meter struct {
	hits, misses, unleased, fills, refusals, kills, evictions, drops atomic.Uint64
	entries, bytes                                                   atomic.Int64
}

// Figures returns the counts so far.
func (m *Meter) Figures() grantstore.CacheFigures {
	return grantstore.CacheFigures{
		Hits: m.hits.Load(), Misses: m.misses.Load(), Unleased: m.unleased.Load(), Fills: m.fills.Load(),
		Refusals: m.refusals.Load(),
		Kills:    m.kills.Load(), Evictions: m.evictions.Load(), Drops: m.drops.Load(),
		Entries: int(m.entries.Load()), Bytes: m.bytes.Load(),
	}
}
