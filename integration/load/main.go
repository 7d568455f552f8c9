package main

// The command: flags, and which of its processes this is.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
)

func main() {
	if plugin.Launched() {
		plugin.Serve(plugin.ServeConfig{Open: openBackend})
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if store := os.Getenv(serveEnv); store != "" {
		err = serveProcess(ctx, kind{store, os.Getenv(telemetryEnv)}, os.Getenv(dataEnv))
	} else {
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// openBackend is what cmd/sessions-badger does, with a debug server.
func openBackend(ctx context.Context, raw []byte, logger *slog.Logger) (sessions.Backend, error) {
	settings, err := badger.ParseSettings(raw)
	if err != nil {
		return nil, err
	}
	settings.LimitProcess()
	if err := serveDebug(ctx, os.Getenv(debugEnv)); err != nil {
		return nil, err
	}
	return badger.Open(ctx, settings, logger)
}

// options are the flags.
type options struct {
	flow    string
	callers int
	users   int
	codes   int
	rounds  int
	time    time.Duration
	data    string
	profile string
	direct  bool
	serve   string
	// telemetry compares what traces and metrics cost, lines prints each measurement for benchstat.
	telemetry, lines bool
}

func parse(args []string, output io.Writer) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("load", flag.ContinueOnError)
	set.SetOutput(output)
	set.StringVar(&o.flow, "flow", "", "measure this flow alone")
	set.IntVar(&o.callers, "callers", 0, "measure with this many callers instead of those of the table")
	set.IntVar(&o.users, "users", 10_000, "how many users are signed in")
	set.IntVar(&o.codes, "codes", 10_000, "how many codes a measurement may exchange")
	set.IntVar(&o.rounds, "rounds", 3, "how many rounds")
	set.DurationVar(&o.time, "time", 3*time.Second, "how long one measurement takes")
	set.StringVar(&o.data, "data", "", "`folder` for the plugin's data, on a real disk")
	set.StringVar(&o.profile, "profile", "", "write profiles of the last round to this `folder`")
	set.BoolVar(&o.direct, "direct", false, "ask the handlers in this process, without a network")
	set.StringVar(&o.serve, "serve", "", "serve with this `store` for wrk, until interrupted")
	set.BoolVar(&o.telemetry, "telemetry", false, "compare what traces and metrics cost, instead of stores")
	set.BoolVar(&o.lines, "lines", false, "print a line for benchstat instead of the table: one each round")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	var errs []error
	if set.NArg() > 0 {
		errs = append(errs, fmt.Errorf("%q is no flag", set.Arg(0)))
	}
	for name, n := range map[string]int{"users": o.users, "codes": o.codes, "rounds": o.rounds} {
		if n < 1 {
			errs = append(errs, fmt.Errorf("-%s: is less than 1", name))
		}
	}
	if o.callers < 0 {
		errs = append(errs, errors.New("-callers: is negative"))
	}
	if o.time <= 0 {
		errs = append(errs, errors.New("-time: is not positive"))
	}
	if o.flow != "" && !slices.ContainsFunc(flows, func(f flow) bool { return f.name == o.flow }) {
		errs = append(errs, fmt.Errorf("-flow: there is no %q", o.flow))
	}
	if o.serve != "" && !slices.Contains(every, o.serve) {
		errs = append(errs, fmt.Errorf("-serve: there is no store %q", o.serve))
	}
	return o, errors.Join(errs...)
}

// kinds are the servers to compare.
func (o *options) kinds() (list []kind) {
	if o.telemetry {
		for _, store := range ours {
			for _, telemetry := range telemetries {
				list = append(list, kind{store, telemetry})
			}
		}
		return list
	}
	for _, store := range every {
		if !o.direct || store != storeNone {
			list = append(list, kind{store: store})
		}
	}
	return list
}

func run(ctx context.Context, args []string, output io.Writer) (err error) {
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	if o.serve != "" {
		return serveUntil(ctx, o, output)
	}
	var servers []*server
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, k := range o.kinds() {
		s, err := startServer(ctx, k, o)
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		servers = append(servers, s)
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o750); err != nil {
			return err
		}
	}
	table := newTable(output)
	for _, f := range flows {
		if o.flow != "" && f.name != o.flow {
			continue
		}
		counts := f.callers
		if o.callers > 0 {
			counts = []int{o.callers}
		}
		for _, callers := range counts {
			rows, err := compare(ctx, o, &f, callers, servers)
			if err != nil {
				return fmt.Errorf("%s at %d: %w", f.name, callers, err)
			}
			if o.lines {
				printLines(output, rows)
				continue
			}
			table.print(rows)
		}
	}
	return nil
}

// serveUntil serves for another load generator until the context ends.
func serveUntil(ctx context.Context, o *options, output io.Writer) (err error) {
	s, err := startServer(context.WithoutCancel(ctx), kind{store: o.serve}, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	script := filepath.Join(s.folder, "introspect.lua")
	if err := os.WriteFile(script, wrkScript(s.users), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(output, "wrk -t 1 -c 64 -d 5 -s %s http://%s/introspect\n", script, s.address)
	<-ctx.Done()
	return nil
}

// wrkScript has wrk introspect random tokens.
func wrkScript(users []login) []byte {
	script := fmt.Appendf(nil, `wrk.method = "POST"
wrk.headers["Authorization"] = %q
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
tokens = {
`, authorization())
	for _, user := range users {
		script = fmt.Appendf(script, "%q,\n", "token="+user.access)
	}
	return append(script, `}
function request()
	return wrk.format(nil, nil, nil, tokens[math.random(math.max(#tokens, 1))])
end
`...)
}
