package grantcache_test

// How long answers wait for the stream of kills.

import (
	"context"
	"iter"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/internal/grantcache"
)

// trickle streams a kill per interval.
type trickle struct {
	grantstore.Kills
	every time.Duration
}

func (k trickle) Follow(ctx context.Context) iter.Seq2[*grantstore.Kill, error] {
	return func(yield func(*grantstore.Kill, error) bool) {
		for position := uint64(0); yield(&grantstore.Kill{Position: position}, nil); position++ {
			select {
			case <-time.After(k.every):
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	const patience = 2 * time.Second
	for name, c := range map[string]struct {
		every, left, want time.Duration
		fails             bool
		drops             uint64
	}{
		"a stream without delay":   {every: time.Second / 4, left: time.Minute, want: time.Second},
		"a stuck stream":           {every: time.Hour, left: time.Minute, want: patience, drops: 1},
		"a slow stream":            {every: patience / 3, left: time.Minute, want: patience, drops: 1},
		"a caller with a deadline": {every: time.Hour, left: time.Second, want: time.Second, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				meter := &grantcache.Meter{}
				cache := grantcache.New(grantcache.Config{
					Kills: trickle{every: c.every}, Bound: 1 << 20, Patience: patience, Meter: meter,
					Logger: slog.New(slog.DiscardHandler),
				})
				following, stop := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer stop()
				go cache.Follow(following)
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), c.left)
				defer cancel()
				began := time.Now()
				err := cache.Await(ctx, 4)
				if took := time.Since(began); took != c.want || (err != nil) != c.fails {
					t.Errorf("waited %v with error %v, want %v and an error: %t", took, err, c.want, c.fails)
				}
				if drops := meter.Figures().Drops; drops != c.drops {
					t.Errorf("all copies were dropped %d times, want %d", drops, c.drops)
				}
			})
		})
	}
}
