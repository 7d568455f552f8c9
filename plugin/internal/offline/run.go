package offline

// The command line: commands, flags, exit codes.

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fosite-sessions/sessions/plugin/internal/program"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

// Exit codes.
const (
	Done     = 0 // a check found nothing
	Findings = 1 // a check found faults
	Failed   = 2 // the error is on standard error
)

// Env is the environment of a command line.
type Env struct {
	// Name is the program's name, Args are its arguments.
	Name string
	Args []string
	// Protocol is the version of the plugin protocol that the program speaks to servers.
	Protocol int
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	// Terminal: Stderr is a terminal, and shows progress.
	Terminal bool
	// Now is time.Now if nil.
	Now func() time.Time
}

// Main runs the command named by the process's arguments until it has ended or the process is asked to exit,
// and exits.
func Main(protocol int, run func(ctx context.Context, env Env) int) {
	smallfile.RestrictUmask()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)         // so that a second Ctrl-C ends a command that waits for input
	if !signal.Ignored(syscall.SIGHUP) { // ignored under nohup
		ctx, _ = signal.NotifyContext(ctx, syscall.SIGHUP)
	}
	code := run(ctx, Env{
		Name: filepath.Base(os.Args[0]), Args: os.Args[1:], Protocol: protocol,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Terminal: program.Terminal(os.Stderr),
	})
	stop()
	os.Exit(code)
}

// command is one command.
type command struct {
	name string
	args []string // after the one that names the store
	does string
	run  func(ctx context.Context, c *call) (code int, err error)
}

// commands returns the commands of an engine.
func commands(engine *Engine) []command {
	return []command{
		{"check", nil, "compare indexes with records, and records with the rules; read-only", check},
		{"stats", nil, "show what is in the store; read-only", stats},
		{"export", []string{file}, "write a backup of the store; \"-\" is standard output", export},
		{
			"import", []string{file},
			"restore a backup into " + engine.Empty + "; \"-\" is standard input", restore,
		},
		{"migrate", nil, "migrate the store to the newest format, as a server's start does", migrate},
	}
}

// file is the argument that names a backup file.
const file = "FILE"

// call is a running command line.
type call struct {
	Env
	engine *Engine
	args   []string
	place  Place
	json   bool
	force  bool
	max    int
	logger *slog.Logger
}

// Run runs a command line of an engine's binary and returns its exit code.
func Run(ctx context.Context, env Env, engine *Engine) int {
	if env.Now == nil {
		env.Now = time.Now
	}
	c := &call{
		Env: env, engine: engine,
		logger: slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	given, err := c.parse()
	switch {
	case errors.Is(err, flag.ErrHelp), err == nil && len(given) > 0 && given[0] == "help":
		c.usage(env.Stdout)
		return Done
	case err != nil:
		return c.failed(env.Name, err)
	case len(given) == 0:
		c.usage(env.Stderr)
		return Failed
	}
	for _, command := range commands(engine) {
		if command.name == given[0] {
			c.args = given[1:]
			return c.run(ctx, &command)
		}
	}
	return c.failed(env.Name, fmt.Errorf("there is no command %q: %s help lists them", given[0], env.Name))
}

func (c *call) usage(w io.Writer) {
	about := c.engine.About
	fmt.Fprintf(w, `%s keeps the sessions of an authorization server in %s.
A server starts it by itself: name this file as plugin.Config.Path.
Version %s, store format %d, plugin protocol %d.

%s:

`, c.Name, c.engine.Where, about.Version, about.Format, c.Protocol, c.engine.When)
	for _, command := range commands(c.engine) {
		fmt.Fprintf(w, "  %-21s %s\n", command.name+" "+strings.Join(c.wanted(&command), " "), command.does)
	}
	fmt.Fprintf(w, `
Flags, anywhere on the line:

%s  -json                       one JSON object on standard output
  -max N                      check: list at most N findings (%d)
  -force                      export: replace an existing file

Exit codes: 0 success, 1 a check has found faults, 2 failure.
`, c.engine.FlagLines, DefaultMaxFindings)
}

// wanted returns the arguments of a command.
func (c *call) wanted(command *command) []string {
	if c.engine.Argument == "" {
		return command.args
	}
	return append([]string{c.engine.Argument}, command.args...)
}

func (c *call) run(ctx context.Context, command *command) int {
	err := c.take(command)
	code := Failed
	if err == nil {
		code, err = command.run(ctx, c)
	}
	if err == nil {
		return code
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("interrupted: %w", err)
	}
	return c.failed(c.Name+" "+command.name, err)
}

// failed reports err, and returns the exit code.
func (c *call) failed(what string, err error) int {
	if c.json {
		c.answer(struct {
			Error string `json:"error"`
		}{err.Error()})
	}
	fmt.Fprintf(c.Stderr, "%s: %v\n", what, err)
	return Failed
}

// parse parses the flags, at any position, and returns the other arguments.
func (c *call) parse() (given []string, err error) {
	flags := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	c.engine.Flags(flags)
	flags.BoolVar(&c.json, "json", false, "")
	flags.BoolVar(&c.force, "force", false, "")
	flags.IntVar(&c.max, "max", 0, "")
	for rest := c.Args; ; {
		if err := flags.Parse(rest); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return given, nil
		}
		given, rest = append(given, flags.Arg(0)), flags.Args()[1:]
	}
}

// take checks the number of arguments, and finds the store that they name.
func (c *call) take(command *command) (err error) {
	wanted := c.wanted(command)
	switch {
	case len(c.args) == len(wanted):
	case len(wanted) == 0:
		return fmt.Errorf("it takes no %q: flags name the store", c.args[0])
	default:
		return fmt.Errorf("it takes %s", strings.Join(wanted, " and "))
	}
	argument := ""
	if c.engine.Argument != "" {
		argument, c.args = c.args[0], c.args[1:]
	}
	c.place, err = c.engine.At(argument, c.logger)
	return err
}

// answer writes one JSON object.
func (c *call) answer(value any) {
	encoder := json.NewEncoder(c.Stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
}
