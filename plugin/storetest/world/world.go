package world

// World: clock, stores and helpers of one case; groups of cases.

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Base is the time at which every case begins. Its precision is microseconds, because some databases keep no
// more.
var Base = time.Date(2031, time.May, 6, 7, 8, 9, 123456000, time.UTC)

// DefaultRows is the default of World.Rows.
const DefaultRows = 300

// World is the environment of one case. Its helpers end the case at the first failure, so only the case's own
// goroutine may call them; other goroutines call the stores.
type World struct {
	*testing.T
	Stores
	// Now is the clock.
	Now time.Time
	// Rows is the number of rows in the larger cases.
	Rows int

	ids atomic.Int64
}

// Case is one sentence about a backend and the code that checks it.
type Case struct {
	Name string
	Run  func(w *World)
}

// Group is a set of cases with a theme.
type Group struct {
	// Rule is the number of the rule in ARCHITECTURE.md that the cases check, 0 if no rule applies: input,
	// creation, limits.
	Rule  int
	Name  string
	Cases []Case
}

// title returns the name of the group's test.
func (g *Group) title() string {
	if g.Rule == 0 {
		return g.Name
	}
	return fmt.Sprintf("rule %d: %s", g.Rule, g.Name)
}

// Run runs the cases in parallel, each in its own world, opened by open.
func Run(t *testing.T, rows int, open func(t *testing.T, w *World), groups []Group) {
	if rows <= 0 {
		rows = DefaultRows
	}
	for _, group := range groups {
		t.Run(group.title(), func(t *testing.T) {
			t.Parallel()
			for _, c := range group.Cases {
				t.Run(c.Name, func(t *testing.T) {
					t.Parallel()
					w := &World{T: t, Now: Base, Rows: rows}
					open(t, w)
					c.Run(w)
				})
			}
		})
	}
}

// Ctx returns the context of the case.
func (w *World) Ctx() context.Context { return w.Context() }

// Pass moves the clock forward.
func (w *World) Pass(d time.Duration) { w.Now = w.Now.Add(d) }

// Name returns a name that is unique in the case.
func (w *World) Name(prefix string) string { return fmt.Sprintf("%s-%04d", prefix, w.ids.Add(1)) }

// Op returns an operation id that is unique in the case.
func (w *World) Op() string { return fmt.Sprintf("%032x", w.ids.Add(1)) }

// Race calls f n times concurrently and returns the result of each call.
func Race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// Each calls f for 0 to n-1, a few calls concurrently, and ends the case at the first error: it sets up many
// rows.
func (w *World) Each(n int, f func(i int) error) {
	w.Helper()
	const workers = 16
	var next atomic.Int64
	for i, err := range Race(workers, func(int) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return nil
			}
			if err := f(i); err != nil {
				return fmt.Errorf("row %d: %w", i, err)
			}
		}
	}) {
		if err != nil {
			w.Fatalf("worker %d: %v", i, err)
		}
	}
}
