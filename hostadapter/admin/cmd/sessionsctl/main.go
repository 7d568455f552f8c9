// Command sessionsctl calls the admin routes from the command line: it lists and ends sessions, lists grants
// and notifications, and swaps or backs up the store. README.md describes its configuration.
package main

// The command tree and the exit codes.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
)

// The exit codes. README.md documents them; scripts rely on them.
const (
	exitDone         = 0
	exitFailed       = 1
	exitUsage        = 2 // wrong flags, arguments or configuration; nothing was sent
	exitDenied       = 3 // the token is missing or wrong, or does not permit this
	exitNotFound     = 4
	exitConflict     = 5 // the current state does not allow it
	exitUnavailable  = 6 // the server or its store cannot be reached; a change may have been carried out
	exitJobFailed    = 7
	exitNotConfirmed = 8
	exitInterrupted  = 130
)

// usageError is an error in flags, arguments or configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

var (
	errNotConfirmed = errors.New("not confirmed, nothing was changed")
	errJobFailed    = errors.New("the job failed")
)

// app is the state that all commands share.
type app struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string

	settings settings
	hasToken bool
	client   *client.Client
}

func main() {
	// A closed pipe at stdout ends the command by SIGPIPE, which is Go's default for it: quietly, and with
	// what the shell expects. Changes are made before anything is printed.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !signal.Ignored(syscall.SIGHUP) { // it is below nohup
		ctx, _ = signal.NotifyContext(ctx, syscall.SIGHUP)
	}
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes a command line and returns the exit code.
func (a *app) run(ctx context.Context, arguments []string) int {
	root := a.root()
	root.SetArgs(arguments)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	code := exitCode(ctx, err)
	_, _ = fmt.Fprintln(a.err, "sessionsctl: "+clean(err.Error()))
	if hint := a.hint(code, err); hint != "" {
		_, _ = fmt.Fprintln(a.err, hint)
	}
	return code
}

// hint returns advice on an error.
func (a *app) hint(code int, err error) string {
	var problem *client.Problem
	isProblem := errors.As(err, &problem)
	switch {
	case code == exitDenied && !a.hasToken:
		return "No token was given: --token-file, SESSIONSCTL_TOKEN_FILE, SESSIONSCTL_TOKEN or the " +
			"configuration file names one."
	case errors.Is(err, client.ErrForbidden):
		return "The token of --token-file or SESSIONSCTL_TOKEN may not do this: use another one."
	case code == exitDenied:
		return "Does --token-file or SESSIONSCTL_TOKEN hold the token of this server?"
	case isProblem && problem.RetryAfter > 0:
		return "Try again in " + problem.RetryAfter.String() + "."
	case isProblem && problem.Detail == "" && problem.Status < http.StatusInternalServerError,
		code == exitUnavailable && errors.As(err, new(*url.Error)): // not from our routes, or no answer
		return "Is " + clean(a.settings.url) + " the address of the admin routes, as in " + defaultURL + "?"
	case code == exitUsage:
		return "Run it with --help."
	}
	return ""
}

func exitCode(ctx context.Context, err error) int {
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errNotConfirmed):
		return exitNotConfirmed
	case errors.Is(err, errJobFailed):
		return exitJobFailed
	case errors.Is(err, client.ErrUnauthenticated), errors.Is(err, client.ErrForbidden):
		return exitDenied
	case errors.Is(err, client.ErrNotFound):
		return exitNotFound
	case errors.Is(err, client.ErrConflict):
		return exitConflict
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.Is(err, client.ErrInvalid):
		return exitUsage
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrThrottled), client.IsNetwork(err):
		return exitUnavailable
	}
	return exitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sessionsctl",
		Short: "List and end sessions, and maintain their store",
		Long: "sessionsctl calls the admin routes of a server with fosite-sessions.\n\n" +
			"The URL and the token come from flags, then from the environment (SESSIONSCTL_URL,\n" +
			"SESSIONSCTL_TOKEN_FILE, SESSIONSCTL_TOKEN, SESSIONSCTL_OUTPUT), then from a file.",
		SilenceUsage: true, SilenceErrors: true,
		Version: version(),
		Args:    cobra.ArbitraryArgs,
		RunE:    needsCommand,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	a.settings.flags(root)
	for _, group := range []*cobra.Command{
		a.sessionsCommand(), a.grantsCommand(), a.deliveriesCommand(), a.jobsCommand(), a.backendCommand(),
	} {
		group.Args, group.RunE = cobra.ArbitraryArgs, needsCommand
		for _, command := range group.Commands() {
			a.prepare(command)
		}
		root.AddCommand(group)
	}
	strictHelp(root)
	return root
}

// strictHelp has the commands help and completion, which cobra adds, refuse unknown names: by themselves they
// print the help of another command, and succeed.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, command := range root.Commands() {
		switch command.Name() {
		case "help":
			command.Args = func(_ *cobra.Command, given []string) error {
				if about, rest, err := root.Find(given); err != nil || len(rest) > 0 {
					return needsCommand(about, rest)
				}
				return nil
			}
		case "completion":
			command.Args, command.RunE = cobra.ArbitraryArgs, needsCommand
			for _, shell := range command.Commands() {
				shell.Args = checkArguments
			}
		}
	}
}

// needsCommand reports the missing subcommand of a command that only groups others.
func needsCommand(command *cobra.Command, arguments []string) error {
	var names []string
	for _, sub := range command.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	known := strings.Join(names, ", ")
	switch {
	case len(arguments) > 0 && known == "":
		return usagef("%s has no commands, such as %q", command.CommandPath(), arguments[0])
	case len(arguments) > 0:
		return usagef("%q is not a command of %s, which has: %s", arguments[0], command.CommandPath(), known)
	}
	return usagef("%s wants a command: %s", command.CommandPath(), known)
}

// checkArguments compares the arguments with those in the command's usage line, and names one that is missing
// or superfluous.
func checkArguments(command *cobra.Command, given []string) error {
	names := strings.Fields(command.Use)[1:]
	usage := strings.Join(append([]string{command.CommandPath()}, names...), " ")
	switch {
	case len(given) > len(names):
		return usagef("%q is one argument too many: %s", given[len(names)], usage)
	case len(given) < len(names) && !strings.HasPrefix(names[len(given)], "["):
		return usagef("%s is missing: %s", names[len(given)], usage)
	}
	return nil
}

// prepare has a command refuse wrong and empty arguments, and read the settings before it runs.
func (a *app) prepare(command *cobra.Command) {
	run := command.RunE
	command.Args = func(command *cobra.Command, given []string) error {
		if err := checkArguments(command, given); err != nil {
			return err
		}
		return refuseEmpty(command, given)
	}
	command.RunE = func(command *cobra.Command, given []string) error {
		if err := a.configure(); err != nil {
			return usageError{err}
		}
		return run(command, given)
	}
}

// refuseEmpty refuses flags and arguments without a value: a script whose variable is empty must not concern
// more than it meant to. A reason may be empty: it selects nothing.
func refuseEmpty(command *cobra.Command, arguments []string) (err error) {
	command.Flags().Visit(func(flag *pflag.Flag) {
		value := flag.Value.String()
		if err == nil && flag.Name != "reason" && (value == "" || value == "[]") {
			err = usagef("--%s is empty: a variable without a value?", flag.Name)
		}
	})
	if err == nil && slices.Contains(arguments, "") {
		err = usagef("an argument is empty: a variable without a value?")
	}
	return err
}
