package grantcache

// Leases: for how long copies may be used, where several hosts share a store.

import (
	"context"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/kills"
)

// askPause is between two questions for a lease.
const askPause = 5 * time.Millisecond

// releaseTime is how long it may take to say that there are no copies any more.
const releaseTime = 200 * time.Millisecond

// lease lets copies be used, from a moment before it was asked for.
type lease struct {
	asked  time.Time
	length time.Duration
}

func (l *lease) lasts() bool { return l != nil && kills.Elapsed(l.asked) < l.length }

// leased reports whether copies may be used now.
func (c *Cache) leased() bool { return c.config.Leases == nil || c.lease.Load().lasts() }

// release says that there are no copies any more: nobody is to wait for them. A process that has ended knows.
func (c *Cache) release() {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	_, _ = c.config.Leases.Lease(ctx, grantstore.NoCopies)
}

// renew asks for leases until the context ends. A lease begins when the copies have taken note of the kills
// up to its answer's position: no copy is used under it that another host had ended before. Copies that begin
// later hold what was read later still.
func (c *Cache) renew(ctx context.Context) {
	for pause := askPause; ctx.Err() == nil; {
		if held := c.current.Load(); held != nil {
			asked := time.Now()
			length, err := c.config.Leases.Lease(ctx, held.applied.Load())
			if err == nil {
				err = c.Await(ctx, c.config.Kills.Position())
			}
			if pause = askPause; err == nil {
				c.lease.Store(&lease{asked, length})
			} else {
				pause = firstPause
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}
