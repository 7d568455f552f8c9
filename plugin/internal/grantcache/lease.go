package grantcache

// Leases: how long copies may be used if several hosts share a store.

import (
	"context"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/kills"
)

// leasePause is the pause between two requests for a lease.
const leasePause = 5 * time.Millisecond

// releaseTimeout bounds the call that tells the plugin that there are no copies any more.
const releaseTimeout = 200 * time.Millisecond

// lease allows copies to be used for a while, from just before it was requested.
type lease struct {
	asked  time.Time
	length time.Duration
}

func (l *lease) lasts() bool { return l != nil && kills.Elapsed(l.asked) < l.length }

// leased reports whether copies may be used now.
func (c *Cache) leased() bool { return c.config.Leases == nil || c.lease.Load().lasts() }

// release tells the plugin that there are no copies any more, so that no host waits for them. An ended
// process needs no such call: its error is ignored.
func (c *Cache) release() {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	_, _ = c.config.Leases.Lease(ctx, grantstore.NoCopies)
}

// renew requests leases until the context ends. A lease begins once the copies have applied the kills up to
// the position of its answer, so that no copy is used under it that another host had ended before. Copies
// that begin later were filled by later reads.
func (c *Cache) renew(ctx context.Context) {
	for pause := leasePause; ctx.Err() == nil; {
		if held := c.current.Load(); held != nil {
			asked := time.Now()
			length, err := c.config.Leases.Lease(ctx, held.applied.Load())
			if err == nil {
				err = c.Await(ctx, c.config.Kills.Position())
			}
			if pause = leasePause; err == nil {
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
