package main

// The flags.

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	flow    string
	stores  []string
	hosts   []int
	callers []int
	core    float64
	users   int
	codes   int
	rounds  int
	time    time.Duration
	data    string
	profile string
	direct  bool
	serve   string
	// telemetry compares the cost of traces and metrics, lines prints each measurement for benchstat.
	telemetry, lines bool
}

func parse(args []string, output io.Writer) (*options, error) {
	o := &options{
		stores: []string{storeMemory, storeNone, storeBadger, storeBadger + uncached}, hosts: []int{1},
	}
	set := flag.NewFlagSet("load", flag.ContinueOnError)
	set.SetOutput(output)
	set.StringVar(&o.flow, "flow", "", "measure this flow alone")
	set.Func("stores", "compare these `stores`, such as badger-uncached,postgres-uncached, with the first",
		func(text string) error { o.stores = strings.Split(text, ","); return nil })
	set.Func("hosts", "so many hosts share a store on PostgreSQL: `numbers`, such as 1,2", numbers(&o.hosts))
	set.Func("callers", "measure with so many instead of those of the table: `numbers`, such as 1,8,64",
		numbers(&o.callers))
	set.Float64Var(&o.core, "core", 0, "hold each host with its plugin to this share of a core (root)")
	set.IntVar(&o.users, "users", 10_000, "how many users are signed in")
	set.IntVar(&o.codes, "codes", 10_000, "how many codes a measurement may exchange")
	set.IntVar(&o.rounds, "rounds", 3, "how many rounds")
	set.DurationVar(&o.time, "time", 3*time.Second, "how long one measurement takes")
	set.StringVar(&o.data, "data", "", "`folder` for Badger's data, on a real disk: PostgreSQL's is TMPDIR")
	set.StringVar(&o.profile, "profile", "", "write profiles of the last round to this `folder`")
	set.BoolVar(&o.direct, "direct", false, "ask the handlers in this process, without a network")
	set.StringVar(&o.serve, "serve", "", "serve with this `store` for wrk, until interrupted")
	set.BoolVar(&o.telemetry, "telemetry", false, "compare what traces and metrics cost with each store")
	set.BoolVar(&o.lines, "lines", false, "print a line for benchstat instead of the table: one each round")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag", set.Arg(0))
	}
	return o, o.check()
}

// numbers parses a list of positive integers.
func numbers(list *[]int) func(text string) error {
	return func(text string) error {
		*list = nil
		for part := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is not a number of 1 or more", part)
			}
			*list = append(*list, n)
		}
		return nil
	}
}

func (o *options) check() error {
	var errs []error
	bad := func(flag, format string, args ...any) {
		errs = append(errs, fmt.Errorf("-"+flag+": "+format, args...))
	}
	for name, n := range map[string]int{"users": o.users, "codes": o.codes, "rounds": o.rounds} {
		if n < 1 {
			bad(name, "is less than 1")
		}
	}
	if o.time <= 0 {
		bad("time", "is not positive")
	}
	if o.core < 0 || o.core > 0 && o.core < 0.01 {
		bad("core", "is less than 0.01")
	}
	if o.direct && (o.core > 0 || slices.Max(o.hosts) > 1) {
		bad("direct", "is one host, in this process: it goes with neither -core nor -hosts")
	}
	if o.flow != "" && !slices.ContainsFunc(flows, func(f flow) bool { return f.name == o.flow }) {
		bad("flow", "there is no %q", o.flow)
	}
	for _, store := range o.stores {
		if !slices.Contains(every, store) {
			bad("stores", "there is no %q: they are %s", store, strings.Join(every, ", "))
		}
	}
	if o.serve != "" && !slices.Contains(every, o.serve) {
		bad("serve", "there is no %q: they are %s", o.serve, strings.Join(every, ", "))
	}
	return errors.Join(errs...)
}

// kinds returns the servers to compare.
func (o *options) kinds() (list []kind) {
	for _, store := range o.stores {
		k := kind{store: store, hosts: 1}
		switch {
		case o.direct && store == storeNone, o.telemetry && k.engine() == "":
		case o.telemetry:
			for _, telemetry := range telemetries {
				list = append(list, kind{store: store, telemetry: telemetry, hosts: 1})
			}
		case k.engine() == storePostgres:
			for _, hosts := range o.hosts {
				list = append(list, kind{store: store, hosts: hosts})
			}
		default:
			list = append(list, k)
		}
	}
	return list
}
