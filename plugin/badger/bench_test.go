package badger

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// The cost of the engine in process, with durable writes: the lower bound of a call over the process
// boundary.
func BenchmarkEngine(b *testing.B) {
	for _, callers := range []int{1, 64} {
		for _, operation := range []struct {
			name string
			run  func(b *testing.B, e *Engine) func(i int) error
		}{
			{"get", benchGet}, {"apply", benchApply}, {"refresh", benchRefresh}, {"create", benchCreate},
			{"end", benchEnd},
		} {
			b.Run(fmt.Sprintf("op=%s/callers=%d", operation.name, callers), func(b *testing.B) {
				e, err := Open(b.Context(), Settings{Path: b.TempDir()}, slog.New(slog.DiscardHandler))
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = e.Close() }()
				run := operation.run(b, e)
				before := e.db.Commits()
				share(b, callers, run)
				b.ReportMetric(float64(e.db.Commits()-before)/float64(b.N), "commits/op")
			})
		}
	}
}

func share(b *testing.B, callers int, operation func(i int) error) {
	b.Helper()
	b.ReportAllocs()
	before := cpuTime(b)
	b.ResetTimer()
	var next atomic.Int64
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := operation(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
}

// cpuTime returns the CPU time of this process, which on a busy machine is more reliable than elapsed time.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func benchSession(i int) *ticketstore.Session {
	sid := fmt.Sprintf("sid%d", i)
	return &ticketstore.Session{
		Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: fmt.Sprintf("subject%d", i),
		DisplayName: "Ann Example",
		Issuer:      "https://op.example", AuthTime: base, Created: base, Renewed: base,
		Expires: base.AddDate(0, 0, 1), Ticket: make([]byte, 200),
	}
}

func benchBatch(i int) *grantstore.Batch {
	sid := fmt.Sprintf("sid%d", i)
	batch := &grantstore.Batch{
		OperationID: fmt.Sprintf("operation%d", i),
		Use:         &grantstore.Use{SessionID: sid, ClientID: "app", Notify: true},
	}
	for _, t := range []grantstore.Type{grantstore.ReferenceToken, grantstore.RefreshToken} {
		batch.Store = append(batch.Store, grantstore.Grant{
			Ref:       grantstore.Ref{Type: t, Key: ticketstore.KeyOf(fmt.Sprint(t, i))},
			RequestID: fmt.Sprintf("request%d", i),
			SubjectID: fmt.Sprintf("subject%d", i), SessionID: sid, ClientID: "app", Created: base,
			Expires: base.AddDate(0, 0, 1),
			Data:    make([]byte, 800),
		})
	}
	return batch
}

func benchGet(b *testing.B, e *Engine) func(i int) error {
	const rows = 1000
	create, apply := benchCreate(b, e), benchApplyTo(b, e)
	for i := range rows {
		if err := create(i); err != nil {
			b.Fatal(err)
		}
		if err := apply(i); err != nil {
			b.Fatal(err)
		}
	}
	return func(i int) error {
		_, err := e.Grants().Get(b.Context(), benchBatch(i % rows).Store[0].Ref, base)
		return err
	}
}

func benchApply(b *testing.B, e *Engine) func(i int) error {
	create := benchCreate(b, e)
	for i := range 100 {
		if err := create(i); err != nil {
			b.Fatal(err)
		}
	}
	return func(i int) error {
		batch := benchBatch(i)
		batch.Use.SessionID = fmt.Sprintf("sid%d", i%100)
		for j := range batch.Store {
			batch.Store[j].SessionID = batch.Use.SessionID
		}
		_, err := e.Grants().Apply(b.Context(), batch, base)
		return err
	}
}

// benchRefresh consumes refresh tokens, each stored by the previous refresh.
func benchRefresh(b *testing.B, e *Engine) func(i int) error {
	type line struct{ session, step int }
	const sessions = 1000
	lines := make(chan line, sessions)
	create := benchCreate(b, e)
	step := func(l line, consume bool) error {
		batch := benchBatch(l.session)
		batch.OperationID = fmt.Sprintf("operation%d.%d", l.session, l.step)
		for i := range batch.Store {
			ref := &batch.Store[i].Ref
			ref.Key = ticketstore.KeyOf(fmt.Sprint(ref.Type, l.session, l.step))
		}
		if consume {
			used := batch.Store[1].Ref
			used.Key = ticketstore.KeyOf(fmt.Sprint(used.Type, l.session, l.step-1))
			batch.Use, batch.Consume = nil, &grantstore.Consumption{Ref: used}
		}
		_, err := e.Grants().Apply(b.Context(), batch, base)
		return err
	}
	for i := range sessions {
		if err := create(i); err != nil {
			b.Fatal(err)
		}
		if err := step(line{session: i}, false); err != nil {
			b.Fatal(err)
		}
		lines <- line{session: i, step: 1}
	}
	return func(int) error {
		l := <-lines
		err := step(l, true)
		lines <- line{session: l.session, step: l.step + 1}
		return err
	}
}

func benchApplyTo(b *testing.B, e *Engine) func(i int) error {
	return func(i int) error {
		_, err := e.Grants().Apply(b.Context(), benchBatch(i), base)
		return err
	}
}

func benchCreate(b *testing.B, e *Engine) func(i int) error {
	return func(i int) error { return e.Tickets().Create(b.Context(), benchSession(i)) }
}

// benchEnd signs in and ends: the figure includes both.
func benchEnd(b *testing.B, e *Engine) func(i int) error {
	create, apply := benchCreate(b, e), benchApplyTo(b, e)
	return func(i int) error {
		if err := create(i); err != nil {
			return err
		}
		if err := apply(i); err != nil {
			return err
		}
		_, err := e.Logout().End(b.Context(), &logout.Ending{
			OperationID: fmt.Sprintf("end%d", i), SessionID: fmt.Sprintf("sid%d", i),
			Reason: logout.Terminated,
		}, base)
		return err
	}
}
