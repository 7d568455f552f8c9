package cli

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
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger"
)

// Exit codes.
const (
	Done     = 0 // a check has found nothing
	Findings = 1 // a check has found faults
	Failed   = 2 // standard error says why
)

// Env is the environment of a command line.
type Env struct {
	// Name is the program's, Args what follows it.
	Name string
	Args []string
	// Protocol is the version of the plugin protocol that the program speaks to servers.
	Protocol int
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	// Terminal: Stderr is a terminal, and shows progress.
	Terminal bool
	// Now is time.Now when nil.
	Now func() time.Time
}

// command is one command.
type command struct {
	name string
	args []string
	does string
	run  func(ctx context.Context, c *call) (code int, err error)
}

var commands = []command{
	{
		"check", []string{"FOLDER"},
		"compare indexes with records, and records with the rules; read-only", check,
	},
	{"stats", []string{"FOLDER"}, "show what is in the store; read-only", stats},
	{"export", []string{"FOLDER", "FILE"}, "write a backup of the store; \"-\" is standard output", export},
	{
		"import", []string{"FOLDER", "FILE"},
		"restore a backup into an empty folder; \"-\" is standard input", restore,
	},
	{
		"migrate", []string{"FOLDER"}, "migrate the store to the newest format, as a server's start does",
		migrate,
	},
}

// call is a running command line.
type call struct {
	Env
	args     []string
	settings badger.Settings
	keyFile  string
	json     bool
	max      int
	logger   *slog.Logger
}

// Run runs a command line and returns its exit code.
func Run(ctx context.Context, env Env) int {
	if env.Now == nil {
		env.Now = time.Now
	}
	c := &call{
		Env:    env,
		logger: slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	given, err := c.parse()
	switch {
	case errors.Is(err, flag.ErrHelp), err == nil && len(given) > 0 && given[0] == "help":
		usage(env, env.Stdout)
		return Done
	case err != nil:
		return c.failed(env.Name, err)
	case len(given) == 0:
		usage(env, env.Stderr)
		return Failed
	}
	for i := range commands {
		if commands[i].name == given[0] {
			c.args = given[1:]
			return c.run(ctx, &commands[i])
		}
	}
	return c.failed(env.Name, fmt.Errorf("there is no command %q: %s help lists them", given[0], env.Name))
}

func usage(env Env, w io.Writer) {
	about := badger.About()
	fmt.Fprintf(w, `%s keeps the sessions of an authorization server in a folder.
A server starts it by itself: name this file as plugin.Config.Path.
Version %s, store format %d, plugin protocol %d.

Offline commands, for a store that no server has open:

`, env.Name, about.Version, about.Format, env.Protocol)
	for _, c := range commands {
		fmt.Fprintf(w, "  %-21s %s\n", c.name+" "+strings.Join(c.args, " "), c.does)
	}
	fmt.Fprint(w, `
Flags, anywhere on the line:

  -encryption-key-file FILE   of an encrypted store: a file with the setting encryption_key (hex)
  -json                       one JSON object on standard output
  -max N                      check: list at most N findings (100)

Exit codes: 0 success, 1 a check has found faults, 2 failure.
`)
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

// parse reads the flags, in any place, and returns the other arguments.
func (c *call) parse() (given []string, err error) {
	flags := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.keyFile, "encryption-key-file", "", "")
	flags.BoolVar(&c.json, "json", false, "")
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

// take checks the number of arguments and reads the key file.
func (c *call) take(command *command) error {
	if len(c.args) != len(command.args) {
		return fmt.Errorf("it takes %s", strings.Join(command.args, " and "))
	}
	c.settings.Path = c.args[0]
	if c.keyFile == "" {
		return nil
	}
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return fmt.Errorf("the file with the encryption key: %w", err)
	}
	if c.settings.EncryptionKey = strings.TrimSpace(string(key)); c.settings.EncryptionKey == "" {
		return fmt.Errorf("the file with the encryption key: %s is empty", c.keyFile)
	}
	return nil
}

// answer writes one JSON object.
func (c *call) answer(value any) {
	encoder := json.NewEncoder(c.Stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
}
