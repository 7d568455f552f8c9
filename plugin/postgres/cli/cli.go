// Package cli implements the commands of the sessions-postgres binary: check, stats, export, import and
// migrate. All but import may be used while hosts serve the store.
package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/internal/offline"
	"github.com/fosite-sessions/sessions/plugin/postgres"
)

// Exit codes.
const (
	Done     = offline.Done     // a check found nothing
	Findings = offline.Findings // a check found faults
	Failed   = offline.Failed   // the error is on standard error
)

// Env is the environment of a command line.
type Env = offline.Env

const flagLines = `  -dsn-file FILE              a file with the DSN of the database; or ` +
	postgres.DSNEnv + `
  -password-file FILE         a file with its password
  -schema NAME                where the tables lie (` + postgres.DefaultSchema + `)
  -runtime-role ROLE          migrate: a role that is given what servers need
  -unverified-tls             connect to another machine without verifying it
`

// Run runs a command line and returns its exit code.
func Run(ctx context.Context, env Env) int {
	p := &place{}
	return offline.Run(ctx, env, &offline.Engine{
		About: postgres.About(), Where: "a PostgreSQL database",
		When:  "Commands, which may run beside servers (import: into a store that none has open)",
		Empty: "an empty schema",
		Flags: func(flags *flag.FlagSet) {
			// No flag takes a DSN: the process list would show its password.
			flags.StringVar(&p.settings.DSNFile, "dsn-file", "", "")
			flags.StringVar(&p.settings.PasswordFile, "password-file", "", "")
			flags.StringVar(&p.settings.Schema, "schema", "", "")
			flags.StringVar(&p.settings.RuntimeRole, "runtime-role", "", "")
			flags.BoolVar(&p.settings.UnverifiedTLS, "unverified-tls", false, "")
		},
		FlagLines: flagLines,
		At: func(_ string, logger *slog.Logger) (offline.Place, error) {
			p.logger = logger
			if p.settings.DSNFile == "" && os.Getenv(postgres.DSNEnv) == "" {
				return nil, errors.New(
					"name the database: -dsn-file FILE, or the environment variable " + postgres.DSNEnv)
			}
			return p, nil
		},
	})
}

// place is a schema of a database.
type place struct {
	settings postgres.Settings
	logger   *slog.Logger
}

var _ offline.Place = (*place)(nil)

func (p *place) String() string { return "schema " + cmp.Or(p.settings.Schema, postgres.DefaultSchema) }

func (p *place) ReadOnly(ctx context.Context) (offline.Store, error) {
	look, err := postgres.OpenReadOnly(ctx, p.settings, p.logger)
	if err != nil {
		return nil, err
	}
	return store{look}, nil
}

func (p *place) Open(ctx context.Context) (offline.Target, error) {
	return postgres.Open(ctx, p.settings, p.logger)
}

func (p *place) Migrate(ctx context.Context) (from, to int, err error) {
	return postgres.Migrate(ctx, p.settings, p.logger)
}

func (p *place) Vacant(ctx context.Context) (bool, error) { return postgres.Vacant(ctx, p.settings) }

// Damage returns nothing: the files are the server's.
func (p *place) Damage(context.Context) ([]offline.Finding, error) { return nil, nil }

// store is a store opened read-only.
type store struct{ *postgres.ReadOnly }

func (s store) Stats(ctx context.Context) (offline.Stats, error) {
	stats, err := s.ReadOnly.Stats(ctx)
	return figures{stats}, err
}

// figures is the output of stats.
type figures struct{ *postgres.Stats }

// Lines implements offline.Stats.
func (s figures) Lines() [][2]string {
	lines := [][2]string{
		{"format", fmt.Sprintf("%d, for programs that know %d or later", s.Format, s.Needs)},
		{"state", offline.StateText(s.State, s.Peer)},
	}
	lines = append(lines, s.RowLines("")...)
	hosts := make([]string, len(s.Hosts))
	for i, h := range s.Hosts {
		hosts[i] = h.String()
	}
	return append(lines, [2]string{"hosts", cmp.Or(strings.Join(hosts, ", "), "none")},
		[2]string{"size", offline.Named(s.Bytes, offline.Size)})
}
