package postgres

// The cost of exchanges and reads: batched, behind a pooler, with a connection for each caller, and on
// Badger. Only ratios within one run are meaningful.

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
)

// maxCallers is the maximum number of concurrent clients.
const maxCallers = 64

// alone has a connection for each caller, with its own commits and reads.
var alone = gathering{committers: maxCallers, readers: maxCallers, calls: 1}

// measured is an engine and its own server, if any.
type measured struct {
	sessions.Backend
	server *pgserver.Server
}

func benchEngine(b *testing.B, g gathering, pooled bool) *measured {
	b.Helper()
	// Without full-page images WAL consists of the changes.
	server := pgserver.Start(b, "max_connections=200", "full_page_writes=off",
		"shared_preload_libraries=pg_stat_statements")
	server.Exec(b, "CREATE EXTENSION pg_stat_statements")
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
	e, err := newEngine(context.WithoutCancel(b.Context()), pool, quoted, host, quiet, g)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		e.close()
		host.leave()
	})
	return &measured{e, server}
}

// account is the usage of the server and this process so far: CPU time in ns, statements as counted by the
// server, including those of functions and of the host's beats.
type account struct{ syncs, bytes, statements, server, own float64 }

func (m *measured) account(b *testing.B) (a account) {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	a.own = float64(usage.Utime.Nano() + usage.Stime.Nano())
	e, ok := m.Backend.(*Engine)
	if !ok {
		return a
	}
	a.server = float64(m.server.CPU())
	err := e.pool.QueryRow(b.Context(), `SELECT wal_sync, wal_bytes::float8,
		(SELECT sum(calls)::float8 FROM pg_stat_statements) FROM pg_stat_wal`).
		Scan(&a.syncs, &a.bytes, &a.statements)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// report reports the cost per operation.
func (a account) report(b *testing.B, before account) {
	b.Helper()
	for _, figure := range []struct {
		unit       string
		was, is, n float64
	}{
		{"syncs/op", before.syncs, a.syncs, 1}, {"WAL-B/op", before.bytes, a.bytes, 1},
		{"statements/op", before.statements, a.statements, 1},
		{"server-µs/op", before.server, a.server, 1000}, {"own-µs/op", before.own, a.own, 1000},
	} {
		b.ReportMetric((figure.is-figure.was)/figure.n/float64(b.N), figure.unit)
	}
}

// concurrently calls do b.N times in total from that many callers.
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
func compare(b *testing.B, do func(e sessions.Backend, l *tokenFamily) error) {
	b.Helper()
	for _, engine := range []struct {
		name string
		open func(b *testing.B) *measured
	}{
		{"gathered", func(b *testing.B) *measured { return benchEngine(b, defaultGathering, false) }},
		{"pooled", func(b *testing.B) *measured { return benchEngine(b, defaultGathering, true) }},
		{"alone", func(b *testing.B) *measured { return benchEngine(b, alone, false) }},
		{"badger", func(b *testing.B) *measured {
			e, err := badger.Open(b.Context(), badger.Settings{Path: b.TempDir()}, quiet)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = e.Close() })
			return &measured{e, nil}
		}},
	} {
		for _, callers := range []int{1, 8, maxCallers} {
			b.Run(fmt.Sprintf("engine=%s/callers=%d", engine.name, callers), func(b *testing.B) {
				e := engine.open(b)
				families := make([]*tokenFamily, callers)
				for i := range families {
					families[i] = &tokenFamily{name: fmt.Sprint(i)}
					if err := families[i].signIn(b.Context(), e); err != nil {
						b.Fatal(err)
					}
				}
				before := e.account(b)
				b.ReportAllocs()
				b.ResetTimer()
				concurrently(b, callers, func(i int) error { return do(e, families[i]) })
				b.StopTimer()
				e.account(b).report(b, before)
			})
		}
	}
}

func BenchmarkRefresh(b *testing.B) {
	compare(b, func(e sessions.Backend, l *tokenFamily) error { return l.exchange(b.Context(), e) })
}

func BenchmarkRead(b *testing.B) {
	compare(b, func(e sessions.Backend, l *tokenFamily) error {
		_, err := e.Grants().Get(b.Context(), l.access(0).Ref, base)
		return err
	})
}
