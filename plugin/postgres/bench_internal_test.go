package postgres

// What exchanges and reads cost: gathered, also behind a pooler, with a connection a caller, and in Badger
// beside it. Ratios within one run mean something.

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
)

// maxCallers are how many clients exchange, or ask, at once at most.
const maxCallers = 64

// alone is a connection a caller, with commits and reads of its own.
var alone = gathering{committers: maxCallers, readers: maxCallers, calls: 1}

func benchEngine(b *testing.B, g gathering, pooled bool) *Engine {
	b.Helper()
	// Without images of whole pages WAL is what the changes come to.
	server := pgserver.Start(b, "max_connections=200", "full_page_writes=off")
	dsn, schema := server.Schema(b)
	settings := Settings{DSN: dsn, Schema: schema}
	o, err := connect(b.Context(), settings, quiet, true)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(o.pool.Close)
	if pooled {
		settings.DSN, settings.Pooler = server.Pooler(b), true
	}
	config, err := settings.config()
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = int32(g.committers + g.readers + 4)
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	quoted := pgx.Identifier{schema}.Sanitize()
	host, err := join(b.Context(), &opened{pool: pool, settings: settings}, quiet)
	if err != nil {
		b.Fatal(err)
	}
	e, err := newEngineOf(context.WithoutCancel(b.Context()), pool, quoted, host, quiet, g)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		e.close()
		host.leave()
	})
	return e
}

// account is what the server has done so far.
type account struct{ syncs, bytes float64 }

func measure(b *testing.B, backend sessions.Backend) (a account) {
	b.Helper()
	e, ok := backend.(*Engine)
	if !ok {
		return a
	}
	err := e.pool.QueryRow(b.Context(), "SELECT wal_sync, wal_bytes::float8 FROM pg_stat_wal").
		Scan(&a.syncs, &a.bytes)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// concurrently has callers do something b.N times in all.
func concurrently(b *testing.B, callers int, do func(caller int) error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, callers)
	for i := range callers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := do(i); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// compare runs a benchmark on each engine at 1, 8 and 64 callers, each with a family of tokens.
func compare(b *testing.B, do func(e sessions.Backend, l *line) error) {
	b.Helper()
	for _, engine := range []struct {
		name string
		open func(b *testing.B) sessions.Backend
	}{
		{"gathered", func(b *testing.B) sessions.Backend { return benchEngine(b, defaultGathering, false) }},
		{"pooled", func(b *testing.B) sessions.Backend { return benchEngine(b, defaultGathering, true) }},
		{"alone", func(b *testing.B) sessions.Backend { return benchEngine(b, alone, false) }},
		{"badger", func(b *testing.B) sessions.Backend {
			e, err := badger.Open(b.Context(), badger.Settings{Path: b.TempDir()}, quiet)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = e.Close() })
			return e
		}},
	} {
		for _, callers := range []int{1, 8, maxCallers} {
			b.Run(fmt.Sprintf("engine=%s/callers=%d", engine.name, callers), func(b *testing.B) {
				e := engine.open(b)
				lines := make([]*line, callers)
				for i := range lines {
					lines[i] = &line{name: fmt.Sprint(i)}
					if err := lines[i].signIn(b.Context(), e); err != nil {
						b.Fatal(err)
					}
				}
				before := measure(b, e)
				b.ReportAllocs()
				b.ResetTimer()
				concurrently(b, callers, func(i int) error { return do(e, lines[i]) })
				b.StopTimer()
				after := measure(b, e)
				b.ReportMetric((after.syncs-before.syncs)/float64(b.N), "syncs/op")
				b.ReportMetric((after.bytes-before.bytes)/float64(b.N), "WAL-B/op")
			})
		}
	}
}

func BenchmarkRefresh(b *testing.B) {
	compare(b, func(e sessions.Backend, l *line) error { return l.exchange(b.Context(), e) })
}

func BenchmarkRead(b *testing.B) {
	compare(b, func(e sessions.Backend, l *line) error {
		_, err := e.Grants().Get(b.Context(), l.access(0).Ref, base)
		return err
	})
}
