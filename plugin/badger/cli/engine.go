package cli

// The engine as used by the commands.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/internal/offline"
)

// Exit codes.
const (
	Done     = offline.Done     // a check found nothing
	Findings = offline.Findings // a check found faults
	Failed   = offline.Failed   // the error is on standard error
)

// Env is the environment of a command line.
type Env = offline.Env

// Run runs a command line and returns its exit code.
func Run(ctx context.Context, env Env) int {
	var keyFile string
	return offline.Run(ctx, env, &offline.Engine{
		About: badger.About(), Where: "a folder",
		When:     "Offline commands, for a store that no server has open",
		Argument: "FOLDER", Empty: "an empty folder",
		Flags: func(flags *flag.FlagSet) { flags.StringVar(&keyFile, "encryption-key-file", "", "") },
		FlagLines: "  -encryption-key-file FILE   of an encrypted store: a file with the setting " +
			"encryption_key (hex)\n",
		At: func(folder string, logger *slog.Logger) (offline.Place, error) {
			p := &place{settings: badger.Settings{Path: folder}, logger: logger}
			return p, p.readKey(keyFile)
		},
	})
}

// place is the folder of a store.
type place struct {
	settings badger.Settings
	logger   *slog.Logger
}

var _ offline.Place = (*place)(nil)

func (p *place) readKey(file string) error {
	if file == "" {
		return nil
	}
	key, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("the file with the encryption key: %w", err)
	}
	if p.settings.EncryptionKey = strings.TrimSpace(string(key)); p.settings.EncryptionKey == "" {
		return fmt.Errorf("the file with the encryption key: %s is empty", file)
	}
	return nil
}

func (p *place) String() string { return p.settings.Path }

func (p *place) ReadOnly(ctx context.Context) (offline.Store, error) {
	e, err := badger.OpenReadOnly(ctx, p.settings, p.logger)
	if err != nil {
		return nil, err
	}
	return store{e}, nil
}

func (p *place) Open(ctx context.Context) (offline.Target, error) {
	return badger.Open(ctx, p.settings, p.logger)
}

func (p *place) Migrate(ctx context.Context) (from, to int, err error) {
	if err := badger.CheckOwner(p.settings.Path); err != nil {
		return 0, 0, err
	}
	return badger.Migrate(ctx, p.settings, p.logger)
}

func (p *place) Vacant(context.Context) (bool, error) {
	if err := badger.CheckOwner(p.settings.Path); err != nil {
		return false, err
	}
	entries, err := os.ReadDir(p.settings.Path)
	return len(entries) == 0 && (err == nil || errors.Is(err, os.ErrNotExist)), nil
}

// Damage is called first, because Badger panics on a table that it cannot read.
func (p *place) Damage(ctx context.Context) ([]offline.Finding, error) {
	return badger.CheckFiles(ctx, p.settings)
}

// store is a database opened read-only.
type store struct{ *badger.Engine }

func (s store) Stats(ctx context.Context) (offline.Stats, error) {
	stats, err := s.Engine.Stats(ctx)
	return figures{stats}, err
}
