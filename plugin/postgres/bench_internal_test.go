package postgres

// What exchanges and reads cost the database, gathered and one by one.

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
)

// callers are how many clients exchange, or ask, at once.
const callers = 64

// alone is a connection a caller, with commits and reads of its own.
var alone = gathering{committers: callers, readers: callers, calls: 1}

func benchEngine(b *testing.B, g gathering) *Engine {
	b.Helper()
	server := pgserver.Start(b, "max_connections=200", "full_page_writes=off")
	dsn, schema := server.Schema(b)
	settings := Settings{DSN: dsn, Schema: schema}
	o, err := connect(b.Context(), settings, quiet, true)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(o.pool.Close)
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
	e, err := newEngineOf(context.WithoutCancel(b.Context()), pool, quoted, quiet, g)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(e.close)
	return e
}

// account is what the server has done so far.
type account struct{ syncs, bytes float64 }

func measure(b *testing.B, e *Engine) (a account) {
	b.Helper()
	err := e.pool.QueryRow(b.Context(), "SELECT wal_sync, wal_bytes::float8 FROM pg_stat_wal").
		Scan(&a.syncs, &a.bytes)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// concurrently has callers do something b.N times in all.
func concurrently(b *testing.B, do func(caller int) error) {
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

func BenchmarkRefresh(b *testing.B) {
	for name, g := range map[string]gathering{"Gathered": usual, "Alone": alone} {
		b.Run(name, func(b *testing.B) {
			e := benchEngine(b, g)
			lines := make([]*line, callers)
			for i := range lines {
				lines[i] = &line{name: fmt.Sprint(i)}
				if err := lines[i].signIn(b.Context(), e); err != nil {
					b.Fatal(err)
				}
			}
			before := measure(b, e)
			b.ResetTimer()
			concurrently(b, func(i int) error { return lines[i].exchange(b.Context(), e) })
			b.StopTimer()
			after := measure(b, e)
			b.ReportMetric((after.syncs-before.syncs)/float64(b.N), "syncs/op")
			b.ReportMetric((after.bytes-before.bytes)/float64(b.N), "WAL-B/op")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for name, g := range map[string]gathering{"Gathered": usual, "Alone": alone} {
		b.Run(name, func(b *testing.B) {
			e := benchEngine(b, g)
			refs := make([]grantstore.Ref, callers)
			for i := range refs {
				l := &line{name: fmt.Sprint(i)}
				if err := l.signIn(b.Context(), e); err != nil {
					b.Fatal(err)
				}
				refs[i] = l.token(0).Ref
			}
			b.ResetTimer()
			concurrently(b, func(i int) error {
				_, err := e.Grants().Get(b.Context(), refs[i], base)
				return err
			})
		})
	}
}
