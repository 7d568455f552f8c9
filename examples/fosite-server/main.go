package main

// The command: flags, signals, exit status.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"go.opentelemetry.io/otel"

	"github.com/fosite-sessions/sessions/plugin"
)

func main() {
	if plugin.Launched() { // started by openBackend
		servePlugin()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)         // a second Ctrl-C kills the program
	if !signal.Ignored(syscall.SIGHUP) { // not under nohup
		// When the terminal closes, the kernel and the shell each send one.
		ctx, _ = signal.NotifyContext(ctx, syscall.SIGHUP)
	}
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintf(os.Stderr, "fosite-server: %v\n", err)
		os.Exit(1)
	}
}

// run serves until ctx is done. It prints addresses to stdout and logs to stderr.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(arguments, stderr)
	if err != nil {
		return fmt.Errorf("%w (-help lists the flags)", err)
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	// The SDK has one process-wide handler for export errors.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		logger.ErrorContext(ctx, "traces or metrics are not sent", "error", err)
	}))
	if o.demoFor != "" {
		return runDemo(ctx, o, stdout, logger)
	}
	s, err := start(ctx, o, logger)
	if err != nil {
		return err
	}
	s.announce(stdout)
	<-ctx.Done()
	return s.stop(context.WithoutCancel(ctx))
}
