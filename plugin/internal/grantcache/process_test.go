package grantcache_test

// The plugin process of the model, with its answers and its stream of kills.

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/internal/grantcache"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// remote is the grants of the current process.
type remote struct {
	grantstore.Store
	m *model
}

func (r remote) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (found *grantstore.GetResult, err error) {
	answer := r.m.answered(ctx, func() error {
		found, err = r.Store.Get(ctx, ref, now)
		return err
	})
	if answer != nil {
		return nil, answer
	}
	return found, nil
}

func (r remote) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (result *grantstore.Result, err error) {
	answer := r.m.answered(ctx, func() error {
		result, err = r.m.write(ctx, batch)
		return err
	})
	if answer != nil {
		return nil, answer
	}
	if r.m.fault == repeated && result.Session == nil {
		result.Session = &grantstore.SessionTimes{Renewed: now, Expires: now.Add(time.Hour)}
	}
	return result, nil
}

// early reads before the cache records the read.
type early struct {
	remote
	found *grantstore.GetResult
	err   error
}

func (e early) Get(
	ctx context.Context, _ grantstore.Ref, _ time.Time,
) (*grantstore.GetResult, error) {
	if err := e.m.answered(ctx, func() error { return e.err }); err != nil {
		return nil, err
	}
	return e.found, nil
}

// process is a plugin process with its own positions.
type process struct {
	m      *model
	before uint64 // kills of earlier processes
	dead   atomic.Bool
	cache  *grantcache.Cache
	// ahead is how far the positions of a surviving cache are ahead of the process's.
	ahead uint64
}

// start starts a new process with a new cache.
func (m *model) start(ctx context.Context) {
	p := &process{m: m, before: m.store.Kills().Position()}
	m.running.Go(func() { <-ctx.Done(); p.dead.Store(true) })
	p.cache = grantcache.New(grantcache.Config{
		Kills: p, Bound: 1 << 20, Patience: time.Second, Meter: m.meter,
		Logger: slog.New(slog.DiscardHandler),
	})
	m.running.Go(func() { p.cache.Follow(ctx) })
	m.serving.Store(p)
}

// crash kills the process from time to time. The host notices later, and starts a new one.
func (m *model) crash(ctx context.Context) {
	for range crashes {
		for range 6 {
			m.pause()
		}
		old := m.serving.Load()
		old.dead.Store(true)
		m.pause()
		if m.fault != survives {
			m.serving.Store(nil)
			m.pause()
			m.start(ctx)
			continue
		}
		next := &process{m: m, before: m.store.Kills().Position(), cache: old.cache}
		next.ahead = old.cache.Applied()
		m.serving.Store(next)
	}
}

// Position implements grantstore.Kills.
func (p *process) Position() uint64 { return p.m.store.Kills().Position() - p.before }

// Follow implements grantstore.Kills: it streams the store's kills with a delay, until some time after the
// death of the process. Kills in flight may be lost.
func (p *process) Follow(ctx context.Context) iter.Seq2[*grantstore.Kill, error] {
	return func(yield func(*grantstore.Kill, error) bool) {
		for kill, err := range p.m.store.Kills().Follow(ctx) {
			p.m.pause()
			if p.m.chance(200) == 0 {
				time.Sleep(3 * time.Second) // the stream is stuck
			}
			if err != nil || p.dead.Load() && (p.m.fault == survives || p.m.chance(2) == 0) {
				if p.m.fault == survives && p.dead.Load() && ctx.Err() == nil {
					p.followNext(ctx, yield)
					return
				}
				yield(nil, ticketstore.ErrUnavailable)
				return
			}
			own := &grantstore.Kill{
				Position: kill.Position - p.before + p.ahead, Sessions: kill.Sessions, Grants: kill.Grants,
			}
			if p.m.hides(kill) {
				own.Sessions, own.Grants = nil, nil
			}
			if !yield(own, nil) {
				return
			}
		}
	}
}

// followNext continues with the kills of the next process as if nothing had been missed.
func (p *process) followNext(ctx context.Context, yield func(*grantstore.Kill, error) bool) {
	next := p.m.serving.Load()
	for ; next == p && ctx.Err() == nil; next = p.m.serving.Load() {
		time.Sleep(time.Millisecond)
	}
	first := true
	for kill, err := range next.Follow(ctx) {
		if first && err == nil {
			// Missed kills are streamed by name.
			first = false
			for at := p.cache.Applied() + 1; at <= kill.Position; at++ {
				if !yield(&grantstore.Kill{Position: at, All: at > next.ahead}, nil) {
					return
				}
			}
			continue
		}
		if !yield(kill, err) {
			return
		}
	}
}

// hides reports whether the fault omits this kill from the stream.
func (m *model) hides(kill *grantstore.Kill) bool {
	switch m.fault {
	case lostKill:
		return m.chance(3) == 0
	case unnoticed:
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.hidden != "" && slices.Contains(kill.Sessions, m.hidden)
	}
	return false
}
