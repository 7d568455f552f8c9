package main

// A measurement: rounds over the stores in turn, medians, and the table.

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

// figures are those of one measurement.
type figures struct {
	rate          float64 // operations a second
	host, plugin  counters
	operations    int
	withoutPlugin bool
}

// row is a line of the table: medians of the rounds.
type row struct {
	flow string
	kind
	callers int
	rounds  []figures
}

// compare measures a flow on each store in turn, round after round.
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
		if askers[i], err = s.connect(ctx); err != nil {
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
	began := time.Now()
	operations, err := share(askers, step, began.Add(o.time))
	took := time.Since(began)
	if err != nil {
		return got, err
	}
	after, err := s.counters(ctx)
	if err != nil {
		return got, err
	}
	return figures{
		rate: float64(operations) / took.Seconds(), operations: operations,
		host: after[0].since(before[0]), plugin: after[1].since(before[1]), withoutPlugin: s.plugin == nil,
	}, saved()
}

// share has each caller take steps until the deadline, and returns how many they were.
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

// counters are those of host and plugin.
func (s *server) counters(ctx context.Context) (both [2]counters, err error) {
	if both[0], err = s.host.counters(ctx); err == nil && s.plugin != nil {
		both[1], err = s.plugin.counters(ctx)
	}
	return both, err
}

// saveProfiles starts to profile the CPU time and the allocations of host and plugin. The function that it
// returns waits until that is done.
func saveProfiles(ctx context.Context, s *server, file string, length time.Duration) func() error {
	if file == "" {
		return func() error { return nil }
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for name, process := range map[string]*debugged{"host": s.host, "plugin": s.plugin} {
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

// median of a figure over the rounds.
func (r *row) median(of func(*figures) float64) float64 {
	values := make([]float64, len(r.rounds))
	for i := range r.rounds {
		values[i] = of(&r.rounds[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// each is a median of a figure per operation, as text; "-" for a process that there is not.
func (r *row) each(ofPlugin bool, format string, of func(*counters) float64) string {
	if ofPlugin && r.rounds[0].withoutPlugin {
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

// printLines prints each measurement as a benchmark does, for benchstat: `-col /telemetry` compares.
func printLines(output io.Writer, rows []*row) {
	for _, r := range rows {
		name := fmt.Sprintf("BenchmarkLoad/flow=%s/store=%s/telemetry=%s/callers=%d",
			r.flow, r.store, r.telemetry, r.callers)
		for i := range r.rounds {
			f := &r.rounds[i]
			each := func(n float64, unit string) string {
				return fmt.Sprintf("\t%.1f %s/op", n/float64(max(f.operations, 1)), unit)
			}
			fmt.Fprint(output, name, "\t", f.operations,
				each(float64(f.host.CPU+f.plugin.CPU), "cpu-ns"),
				each(float64(f.host.CPU), "host-cpu-ns"), each(float64(f.host.Mallocs), "host-allocs"),
				each(float64(f.plugin.CPU), "plugin-cpu-ns"),
				each(float64(f.plugin.Mallocs), "plugin-allocs"), "\n")
		}
	}
}

// table prints rows as they come.
type table struct{ *tabwriter.Writer }

func newTable(output io.Writer) *table {
	t := &table{tabwriter.NewWriter(output, 10, 0, 2, ' ', tabwriter.AlignRight)}
	fmt.Fprintln(t, "flow\tcallers\tstore\tper second\tof memory\thost µs\tGC\tallocs\tbytes\tswitches\t"+
		"plugin µs\tGC\tallocs\tbytes\tswitches\t")
	return t
}

func (t *table) print(rows []*row) {
	rate := func(f *figures) float64 { return f.rate }
	memory := 0.0
	for _, r := range rows {
		if r.store == storeMemory {
			memory = r.median(rate)
		}
	}
	for _, r := range rows {
		of := "-"
		if memory > 0 {
			of = fmt.Sprintf("%.2f", r.median(rate)/memory)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%.0f\t%s\t", r.flow, r.callers, r.kind, r.median(rate), of)
		for _, ofPlugin := range []bool{false, true} {
			micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t",
				r.each(ofPlugin, "%.0f", func(c *counters) float64 { return micros(c.CPU) }),
				r.each(ofPlugin, "%.0f", func(c *counters) float64 { return micros(c.GC) }),
				r.each(ofPlugin, "%.0f", func(c *counters) float64 { return float64(c.Mallocs) }),
				r.each(ofPlugin, "%.0f", func(c *counters) float64 { return float64(c.Bytes) }),
				r.each(ofPlugin, "%.2f", func(c *counters) float64 { return float64(c.Switches) }))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}
