package torture

// Seeded faults of a swap, which the checker must find.

import (
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// faultySwap is seeded into the target of a swap, which also reports false contents: otherwise the checksums
// of both sides would differ.
type faultySwap struct {
	name  string
	rules []rule // empty: nothing must be found
	// loses reports whether the target discards a record; late records were changed during the copy.
	loses func(r *transfer.Record, late bool) bool
}

var faultySwaps = []faultySwap{
	{"none", nil, func(*transfer.Record, bool) bool { return false }},
	{"a sign-in during the copy is lost", []rule{ruleLost}, func(r *transfer.Record, late bool) bool {
		return late && r.Kind == transfer.Sessions && !r.Deleted
	}},
	{"tokens that were issued during the copy are lost", []rule{ruleLost}, func(r *transfer.Record,
		late bool) bool {
		return late && r.Kind == transfer.Grants && !r.Deleted
	}},
	{"records removed or revoked during the copy reappear", []rule{ruleUndead, ruleTwice, ruleRotated},
		func(r *transfer.Record, late bool) bool {
			return late && (r.Deleted || r.Kind == transfer.Ended)
		}},
}

// lossy is a backend whose engine is such a target.
type lossy struct {
	*badger.Engine
	mover transfer.Store
}

func (l *lossy) Transfer() transfer.Store { return l.mover }

type lossyMover struct {
	transfer.Store
	source transfer.Store
	loses  func(r *transfer.Record, late bool) bool
	// busy waits until users have made changes during the copy.
	busy func()

	mutex  sync.Mutex
	copied bool // the copy has ended: later records are changes
}

func (l *lossyMover) Import(
	ctx context.Context, id string, batches iter.Seq2[[]transfer.Record, error],
) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	err := l.Store.Import(ctx, id, func(yield func([]transfer.Record, error) bool) {
		for batch, err := range batches {
			kept := slices.DeleteFunc(slices.Clone(batch), func(r transfer.Record) bool {
				return l.loses(&r, l.copied)
			})
			if !yield(kept, err) {
				return
			}
		}
	})
	if !l.copied && err == nil {
		l.copied = true
		l.busy()
	}
	return err
}

func (l *lossyMover) Status(ctx context.Context) (*transfer.Status, error) {
	status, err := l.Store.Status(ctx)
	if err != nil || status.State != transfer.Importing {
		return status, err
	}
	source, err := l.source.Status(ctx)
	if err == nil {
		status.Content = source.Content
	}
	return status, err
}

// The checker finds a swap that lost records, and no violation in a correct swap.
func TestSeededFaultsOfASwapAreFound(t *testing.T) {
	t.Parallel()
	for _, f := range faultySwaps {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			found, summary := false, ""
			for range faultySwapTries {
				if found, summary = f.run(t); found {
					return
				}
			}
			t.Errorf("want violations of %q, found none\n%s", f.rules, summary)
		})
	}
}

// faultySwapTries bounds the swaps per fault: by chance a swap may lose only records that are never used
// again.
const faultySwapTries = 3

// run makes a swap and reports whether the checker's verdict was correct.
func (f *faultySwap) run(t *testing.T) (found bool, summary string) {
	t.Helper()
	terms := terms{
		idle: time.Hour, renewEvery: 500 * time.Millisecond, slack: 500 * time.Millisecond, stall: patience,
		late: 2 * time.Second,
	}
	w := newWorld(terms)
	source, target := openQuick(t), openQuick(t)
	target.mover = &lossyMover{
		Store: target.Engine.Transfer(), source: source.Engine.Transfer(), loses: f.loses, busy: func() {
			w.progress(t, 150)
		},
	}
	h, err := newHost(t.Context(), w.config("source", "target"), openers{
		storeName(0): func(context.Context) (sessions.Backend, error) { return source, nil },
		storeName(1): func(context.Context) (sessions.Backend, error) { return target, nil },
	}, w.logger())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h.handler)
	w.populate("user", 7, server.URL)
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { w.each(func(u *user) { u.run(ctx) }) })
	defer func() {
		stop()
		working.Wait()
		w.close()
		server.Close()
		_ = h.sessions.Close()
	}()
	w.progress(t, 150)
	answer, _, _ := w.caller.send(http.MethodPost, "/admin/backend/swap", "", nil,
		map[string]string{"backend": storeName(1)})
	job := answer.text("job")
	w.await(t, patience, "the swap's end", func() bool {
		answer, _, _ = w.caller.send(http.MethodGet, "/admin/jobs/"+job, "", nil, nil)
		return answer.text("state") == "done" || answer.text("state") == "failed"
	})
	if answer.text("state") != "done" {
		t.Fatalf("the swap: %d %s", answer.status, answer.raw)
	}
	w.progress(t, 300)
	stop()
	working.Wait()
	for range stretches { // until lost or reappeared records are used
		violations := check(w.history.all(), terms)
		if len(f.rules) == 0 {
			if len(violations) > 0 {
				t.Errorf("found %.2000v in a correct swap", violations)
			}
			return true, ""
		}
		if slices.ContainsFunc(violations, func(v violation) bool {
			return slices.Contains(f.rules, v.rule)
		}) {
			return true, ""
		}
		w.each(func(u *user) {
			for _, seen := range u.seen {
				w.caller.find(seen.sid, seen.subject, false, false)
			}
			for range stretch {
				u.moment()
			}
		})
	}
	return false, w.summary()
}

func openQuick(t *testing.T) *lossy {
	t.Helper()
	sync := false // no process is killed
	engine, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir(), CacheMiB: 1, Sync: &sync}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return &lossy{engine, engine.Transfer()}
}
