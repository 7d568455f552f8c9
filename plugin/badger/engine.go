package badger

// Engine: opening and closing, and the stores that it serves.

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/move"
	"github.com/fosite-sessions/sessions/plugin/internal/program"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var _ sessions.Measured = (*Engine)(nil)

// Engine is an open database. It serves the three stores and is safe for concurrent use.
type Engine struct {
	db     *kv.DB
	logger *slog.Logger
	mover  transfer.Store
	// jobs lets one call at a time work for an operation id.
	jobs            jobLocks
	notificationSeq atomic.Uint32
	rotation        rotation
}

// Open opens the database of the settings, or creates it in a folder that is missing or empty. It refuses,
// without changing anything, a folder that holds something else, a database of a newer format, one that
// another process has open, a wrong encryption key, and a disk that is full (ErrNoSpace). Where the context
// has ids of stores (ticketstore.WithStoreIDs), what is none of those is refused as ErrOtherStore. For a
// process that has the database open it waits until shortly before the context's deadline, if there is one.
// Endings that a crash has interrupted go on in the background.
func Open(ctx context.Context, settings Settings, logger *slog.Logger) (*Engine, error) {
	config, err := settings.config(logger)
	if err != nil {
		return nil, err
	}
	e, err := open(ctx, config)
	if err != nil {
		return nil, err
	}
	if e.db.Refusal() == nil {
		e.logger.InfoContext(ctx, "database opened", "path", settings.Path, "sync", settings.sync(),
			"encrypted", len(config.Options.EncryptionKey) > 0, "format", layout.Version)
	}
	return e, nil
}

func open(ctx context.Context, config kv.Config) (*Engine, error) {
	db, err := kv.Open(ctx, config)
	if err != nil {
		return nil, err
	}
	e := newEngine(db, config.Logger)
	if db.ReadOnly() {
		return e, nil
	}
	if err := e.unlist(ctx); err != nil && db.Failure() == nil {
		return nil, errors.Join(err, e.Close())
	}
	if err := e.resume(db.Base()); err != nil {
		return nil, errors.Join(fmt.Errorf("resume interrupted endings: %w", err), e.Close())
	}
	if db.Failure() != nil {
		return nil, e.Close()
	}
	return e, nil
}

func newEngine(db *kv.DB, logger *slog.Logger) *Engine {
	e := &Engine{db: db, logger: logger}
	e.mover = move.New(db, logger, importRecord, e.resume)
	e.notificationSeq.Store(binary.BigEndian.Uint32([]byte(rand.Text())))
	return e
}

// OpenReadOnly opens a database read-only: nothing is created, migrated, resumed or purged, every change is
// refused, and nothing in the folder is written. It refuses what Open refuses, but for a full disk, and a
// folder that is missing or empty. Of a database whose process was killed it makes a private view in the
// folder for temporary files, with copies of the logs that Badger would bring to an end in place.
func OpenReadOnly(ctx context.Context, settings Settings, logger *slog.Logger) (*Engine, error) {
	config, err := settings.config(logger)
	if err != nil {
		return nil, err
	}
	db, err := kv.OpenReadOnly(ctx, config)
	if err != nil {
		return nil, err
	}
	return newEngine(db, config.Logger), nil
}

// config checks the settings and returns what the database is opened with.
func (s *Settings) config(logger *slog.Logger) (kv.Config, error) {
	encryption, err := s.validate()
	if err != nil {
		return kv.Config{}, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return kv.Config{
		Options: databaseOptions(*s, encryption), MinFree: s.minFree(),
		Recent: s.budget().recent, Logger: logger,
		Opened: func(db *badger.DB) { releaseBuffers(db) },
	}, nil
}

func databaseOptions(settings Settings, encryption []byte) badger.Options {
	o := badger.DefaultOptions(settings.Path).
		WithSyncWrites(settings.sync()).
		WithNumVersionsToKeep(1).
		// The committer is the only writer.
		WithDetectConflicts(false).
		WithCompression(options.Snappy).
		WithValueLogFileSize(128 << 20)
	if len(encryption) > 0 {
		o = o.WithEncryptionKey(encryption)
	}
	return settings.budget().apply(o)
}

// Close ends background work, waits for the calls inside and closes the database. It is idempotent. A
// database that has failed (Failed) is closed within two seconds, which is an error.
func (e *Engine) Close() error { return e.db.Close() }

// Failed is closed when the database has failed: a commit, a sync or another write of it did. The engine
// then answers every call with ticketstore.ErrUnavailable, reads too, and what the calls that were under
// way have changed is not known. Close it, or rather end the process, and open the database again: that
// serves what is on the disk.
func (e *Engine) Failed() <-chan struct{} { return e.db.Failed() }

// Failure is why the database has failed, nil while it has not.
func (e *Engine) Failure() error { return e.db.Failure() }

// Format is that of the database when it was opened, and Newest the one that this engine writes.
func (e *Engine) Format() (opened, newest int) { return e.db.Format(), layout.Version }

// Migrate brings a database to the newest format and closes it again. It returns the format before. Open does
// the same.
func Migrate(ctx context.Context, settings Settings, logger *slog.Logger) (from, to int, err error) {
	m, err := folder.MarkerAt(settings.Path)
	if err != nil {
		return 0, 0, err
	}
	e, err := Open(ctx, settings, logger)
	if err != nil {
		return m.Format, m.Format, err
	}
	return m.Format, layout.Version, e.Close()
}

// Describe says what this backend is, and whether its disk is nearly full.
func (e *Engine) Describe(context.Context) (ticketstore.Description, error) {
	if err := e.db.Failure(); err != nil {
		return ticketstore.Description{}, err
	}
	d := About()
	d.StoreID = e.db.ID()
	if refusal := e.db.Refusal(); refusal != nil {
		d.Trouble = refusal.Error()
	} else if trouble := e.db.Space().Room().Trouble(); trouble != "" {
		d.Trouble = "its disk is nearly full: " + trouble
	}
	return d, nil
}

// About is what Describe says, but for the id of the store. It needs no database.
func About() ticketstore.Description {
	return ticketstore.Description{
		Name:    "badger",
		Version: program.Version(buildVersion),
		Format:  layout.Version,
		Services: []string{
			"tickets", "grants", "logout", ticketstore.PropertiesService, transfer.Service,
			grantstore.KillsService, sessions.FiguresService,
		},
	}
}

// buildVersion is set by -ldflags "-X github.com/fosite-sessions/sessions/plugin/badger.buildVersion=v1.2.3"
// where the module has no version.
var buildVersion string

// Tickets returns the ticket store.
func (e *Engine) Tickets() ticketstore.Store { return tickets{e} }

// Grants returns the grant store.
func (e *Engine) Grants() grantstore.Store { return grants{e} }

// Logout returns the logout store.
func (e *Engine) Logout() logout.Store { return endings{e} }

// update runs f in the committer and returns when its changes are durable. f may run while other calls wait,
// so it must be short; it changes nothing if it returns an error. An error of the database is ErrUnavailable.
// If ctx ends before f was begun, nothing was changed.
func (e *Engine) update(ctx context.Context, f func(tx *kv.Tx) error) error {
	return e.commitThinned(ctx, &kv.Change{Apply: f})
}

// updateInBackground is update for what no user waits for: it lets the others go first.
func (e *Engine) updateInBackground(ctx context.Context, f func(tx *kv.Tx) error) error {
	return e.commitThinned(ctx, &kv.Change{Apply: f, Background: true, Spare: true})
}

// end is update for what ends and revokes: a disk that is nearly full has room for that.
func (e *Engine) end(ctx context.Context, f func(tx *kv.Tx) error) error {
	return e.commitThinned(ctx, &kv.Change{Apply: f, Spare: true})
}

// Figures implements sessions.Measured. Badger works out what its files take once a minute.
func (e *Engine) Figures(context.Context) (sessions.Figures, error) {
	return e.db.Figures(), e.db.Failure()
}

// Kills tells what the commits of the engine kill.
func (e *Engine) Kills() grantstore.Kills { return e.db.Kills() }

// Transfer returns what moves the store.
func (e *Engine) Transfer() transfer.Store { return e.mover }
