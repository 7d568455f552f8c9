package main

// Measurements: rounds over the stores in turn, medians, and the table.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// figures are the results of one measurement.
type figures struct {
	rate         float64 // operations per second
	host, plugin counters
	database     database
	operations   int
}

// row is a line of the table, with the medians of the rounds.
type row struct {
	flow string
	kind
	callers int
	rounds  []figures
}

// compare measures a flow on each store in turn, for all rounds.
func compare(ctx context.Context, o *options, f *flow, callers int, servers []*server) ([]*row, error) {
	var rows []*row
	measured := map[*row]*server{}
	for _, s := range servers {
		if slices.Contains(f.stores, s.store) {
			r := &row{flow: f.name, kind: s.kind, callers: callers}
			measured[r] = s
			rows = append(rows, r)
		}
	}
	for round := range o.rounds {
		for _, r := range rows {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			profile := ""
			if o.profile != "" && round == o.rounds-1 {
				profile = filepath.Join(o.profile, fmt.Sprintf("%s-%d-%s", f.name, callers, r.kind))
			}
			got, err := measure(ctx, o, f, callers, measured[r], profile)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.kind, err)
			}
			r.rounds = append(r.rounds, got)
		}
	}
	return rows, nil
}

// measure runs the callers against one server.
func measure(
	ctx context.Context, o *options, f *flow, callers int, s *server, profile string,
) (got figures, err error) {
	step, err := f.prepare(ctx, s, callers)
	if err != nil {
		return got, fmt.Errorf("preparing: %w", err)
	}
	askers := make([]asker, callers)
	for i := range askers {
		if askers[i], err = s.connect(ctx, i); err != nil {
			return got, err
		}
		defer func() {
			if c, ok := askers[i].(io.Closer); ok {
				_ = c.Close()
			}
		}()
	}
	saved := saveProfiles(ctx, s, profile, o.time)
	before, err := s.counters(ctx)
	if err != nil {
		return got, err
	}
	watched := watch(ctx, s.database)
	began := time.Now()
	operations, err := share(askers, step, began.Add(o.time))
	took := time.Since(began)
	var unwatched error
	got.database, unwatched = watched()
	if err := errors.Join(err, unwatched); err != nil {
		return got, err
	}
	after, err := s.counters(ctx)
	if err != nil {
		return got, err
	}
	got.rate, got.operations = float64(operations)/took.Seconds(), operations
	got.host, got.plugin = after[0].since(before[0]), after[1].since(before[1])
	return got, saved()
}

// share lets each caller repeat its step until the deadline, and returns the total number of steps.
func share(askers []asker, step func(int, asker) error, deadline time.Time) (total int, err error) {
	counts, errs := make([]int, len(askers)), make([]error, len(askers))
	var group sync.WaitGroup
	for caller, a := range askers {
		group.Go(func() {
			for time.Now().Before(deadline) {
				if err := step(caller, a); err != nil {
					if !errors.Is(err, errDone) {
						errs[caller] = err
					}
					return
				}
				counts[caller]++
			}
		})
	}
	group.Wait()
	for _, n := range counts {
		total += n
	}
	return total, errors.Join(errs...)
}

// counters returns the counters of the hosts and of their plugins.
func (s *server) counters(ctx context.Context) (both [2]counters, err error) {
	for _, h := range s.hosts {
		for i, process := range []*debugged{h.host, h.plugin} {
			if process == nil {
				continue
			}
			now, err := process.counters(ctx)
			if err != nil {
				return both, err
			}
			both[i].add(now)
		}
	}
	return both, nil
}

// saveProfiles starts CPU and allocation profiles of the first host and its plugin. The returned function
// waits until they are saved.
func saveProfiles(ctx context.Context, s *server, file string, length time.Duration) func() error {
	if file == "" {
		return func() error { return nil }
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for name, process := range map[string]*debugged{"host": s.hosts[0].host, "plugin": s.hosts[0].plugin} {
		for kind, path := range map[string]string{"cpu": "/profile", "allocs": "/pprof/allocs"} {
			if process == nil {
				continue
			}
			group.Go(func() {
				err := process.save(ctx, fmt.Sprintf("%s?seconds=%d", path, max(int(length.Seconds()), 1)),
					fmt.Sprintf("%s-%s.%s", file, name, kind))
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
	}
	return func() error { group.Wait(); return errors.Join(errs...) }
}

// median returns the median of a figure over the rounds.
func (r *row) median(of func(*figures) float64) float64 {
	values := make([]float64, len(r.rounds))
	for i := range r.rounds {
		values[i] = of(&r.rounds[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// each formats the median of a figure per operation, or "-" if the process does not exist.
func (r *row) each(ofPlugin bool, format string, of func(*counters) float64) string {
	if ofPlugin && r.engine() == "" {
		return "-"
	}
	return fmt.Sprintf(format, r.median(func(f *figures) float64 {
		c := &f.host
		if ofPlugin {
			c = &f.plugin
		}
		return of(c) / float64(max(f.operations, 1))
	}))
}

// printLines prints each measurement in benchmark format for benchstat: `-col /telemetry` compares.
func printLines(output io.Writer, rows []*row) {
	for _, r := range rows {
		name := fmt.Sprintf("BenchmarkLoad/flow=%s/store=%s/telemetry=%s/hosts=%d/callers=%d",
			r.flow, r.store, r.telemetry, r.hosts, r.callers)
		for i := range r.rounds {
			f := &r.rounds[i]
			each := func(n float64, unit string) string {
				return fmt.Sprintf("\t%.1f %s/op", n/float64(max(f.operations, 1)), unit)
			}
			fmt.Fprint(output, name, "\t", f.operations,
				each(float64(f.host.CPU+f.plugin.CPU+f.database.cpu), "cpu-ns"),
				each(float64(f.host.CPU), "host-cpu-ns"), each(float64(f.host.Mallocs), "host-allocs"),
				each(float64(f.plugin.CPU), "plugin-cpu-ns"),
				each(float64(f.plugin.Mallocs), "plugin-allocs"),
				each(float64(f.database.cpu), "database-cpu-ns"), "\n")
		}
	}
}

// table prints rows as they are measured.
type table struct{ *tabwriter.Writer }

func newTable(output io.Writer) *table {
	t := &table{tabwriter.NewWriter(output, 10, 0, 2, ' ', tabwriter.AlignRight)}
	fmt.Fprintln(t, "flow\tcallers\tstore\tper second\tof first\thost µs\tGC\tallocs\tbytes\tswitches\t"+
		"plugin µs\tGC\tallocs\tbytes\tswitches\tdatabase µs\tlock waits\t")
	return t
}

// print prints the rows of one flow. The share is the median over the rounds, relative to the first row in
// the same round.
func (t *table) print(rows []*row) {
	for _, r := range rows {
		round := -1
		share := r.median(func(f *figures) float64 {
			round++
			return f.rate / rows[0].rounds[round].rate
		})
		fmt.Fprintf(t, "%s\t%d\t%s\t%.0f\t%.2f\t", r.flow, r.callers, r.kind,
			r.median(func(f *figures) float64 { return f.rate }), share)
		for _, ofPlugin := range []bool{false, true} {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t",
				r.each(ofPlugin, "%.0f", func(c *counters) float64 { return micros(c.CPU) }),
				r.each(ofPlugin, "%.0f", func(c *counters) float64 { return micros(c.GC) }),
				r.each(ofPlugin, "%.0f", func(c *counters) float64 { return float64(c.Mallocs) }),
				r.each(ofPlugin, "%.0f", func(c *counters) float64 { return float64(c.Bytes) }),
				r.each(ofPlugin, "%.2f", func(c *counters) float64 { return float64(c.Switches) }))
		}
		if r.engine() == storePostgres {
			fmt.Fprintf(t, "%.0f\t%.1f %%\t\n",
				r.median(func(f *figures) float64 { return micros(f.database.cpu) / float64(f.operations) }),
				r.median(func(f *figures) float64 { return 100 * f.database.lockWaits() }))
		} else {
			fmt.Fprintln(t, "-\t-\t")
		}
	}
	_ = t.Flush()
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
