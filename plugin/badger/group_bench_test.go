package badger

// The benchmarks of group commit and of removals under load.

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

// Sign-ins with durable writes, batched or each in its own transaction.
func BenchmarkGroupCommit(b *testing.B) {
	for _, callers := range []int{1, 8, 64, 256} {
		for _, group := range []int{1, 512} {
			b.Run(fmt.Sprintf("op=sign-in/callers=%d/group=%d", callers, group), func(b *testing.B) {
				e := openBench(b)
				*e.db.Bounds().Changes = group
				share(b, callers, benchCreate(b, e))
			})
		}
	}
}

func openBench(b *testing.B) *Engine {
	b.Helper()
	e, err := Open(b.Context(), Settings{Path: b.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close() })
	return e
}

// Latency of a durable write while sixteen others sign in, issue and end sessions, and as many read.
func BenchmarkWriteUnderMixedLoad(b *testing.B) {
	e := openBench(b)
	create, apply, end := benchCreate(b, e), benchApplyTo(b, e), benchEnd(b, e)
	stop := make(chan struct{})
	var load sync.WaitGroup
	for worker := range 16 {
		load.Go(func() {
			for i := (worker + 1) << 40; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := end(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = e.Grants().Get(b.Context(), benchBatch(1).Store[0].Ref, base)
				}
			}
		})
	}
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for i := range b.N {
		if err := create(i); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := apply(i); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	b.StopTimer()
	close(stop)
	load.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1])/1e6, "max-ms")
}

// The removal of one subject with many sessions, and of one with a single session among many others. Set
// SESSIONS_BENCH_LARGE=1 for a million of them.
func BenchmarkRemoval(b *testing.B) {
	among := 10_000
	if large() {
		among = 1_000_000
	}
	for _, tokens := range []bool{false, true} {
		b.Run(fmt.Sprintf("sessions=10000/tokens=%t", tokens), func(b *testing.B) {
			e := openBench(b)
			commits := uint64(0)
			for n := range b.N {
				b.StopTimer()
				fillSubject(b, e, n, 10_000, tokens)
				before := e.db.Commits()
				b.StartTimer()
				removeSubject(b, e, fmt.Sprintf("many%d", n), fmt.Sprintf("op%d", n), 10_000)
				commits += e.db.Commits() - before
			}
			b.ReportMetric(float64(commits)/float64(b.N), "commits/op")
		})
	}
	b.Run(fmt.Sprintf("sessions=1/among=%d", among), func(b *testing.B) {
		e := openBench(b)
		benchMany(b, among, benchCreate(b, e))
		b.ResetTimer()
		for n := range b.N {
			removeSubject(b, e, fmt.Sprintf("subject%d", n), fmt.Sprintf("op%d", n), 1)
		}
	})
}

// large reports whether the large variants are requested.
func large() bool { return os.Getenv("SESSIONS_BENCH_LARGE") != "" }

// fillSubject creates sessions of a subject; with tokens, each has a client that is notified and has two
// tokens.
func fillSubject(b *testing.B, e *Engine, n, sessions int, tokens bool) {
	b.Helper()
	apply := benchApplyTo(b, e)
	benchMany(b, sessions, func(i int) error {
		s := benchSession(n*sessions + i)
		s.SubjectID = fmt.Sprintf("many%d", n)
		if err := e.Tickets().Create(b.Context(), s); err != nil || !tokens {
			return err
		}
		return apply(n*sessions + i)
	})
}

func removeSubject(b *testing.B, e *Engine, subject, operation string, want int) {
	b.Helper()
	result, err := e.Logout().End(b.Context(), &logout.Ending{OperationID: operation, SubjectID: subject,
		Reason: logout.Terminated}, base)
	if err != nil || result.SessionsRemoved != want {
		b.Fatalf("removed %+v, error %v; want %d sessions", result, err, want)
	}
}

// benchMany calls a function with 0 to n-1 from 256 concurrent callers.
func benchMany(b *testing.B, n int, do func(i int) error) {
	b.Helper()
	var group sync.WaitGroup
	const callers = 256
	for caller := range callers {
		group.Go(func() {
			for i := caller; i < n; i += callers {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}
