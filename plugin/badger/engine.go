package badger

// Engine: opening and closing, and its stores.

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

// Engine is an open database. It implements sessions.Backend and is safe for concurrent use.
type Engine struct {
	db     *kv.DB
	logger *slog.Logger
	mover  transfer.Store
	// jobs serializes calls with the same operation id.
	jobs            jobLocks
	notificationSeq atomic.Uint32
	rotation        rotation
}

// Open opens the database, or creates it in a missing or empty folder. Without changing anything, it refuses
// a folder with other contents, a database of a newer format, a database that another process has open, a
// wrong encryption key, and a full disk (ErrNoSpace). If the context has ids of stores
// (ticketstore.WithStoreIDs), any other store is refused with ErrOtherStore. If another process has the
// database open, Open waits for it until shortly before the context's deadline, if there is one. Endings
// interrupted by a crash are resumed in the background.
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
	if err := e.removeListings(ctx); err != nil && db.Failure() == nil {
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

// OpenReadOnly opens a database read-only: it creates, migrates, resumes and purges nothing, refuses every
// change, and writes nothing to the folder. It refuses what Open refuses, except a full disk, and also a
// missing or empty folder. For a database whose process was killed it creates a private view in the folder
// for temporary files, with copies of the logs that Badger would otherwise truncate in place.
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

// config validates the settings and returns the configuration of the database.
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
		// There is only one writer, the committer.
		WithDetectConflicts(false).
		WithCompression(options.Snappy).
		WithValueLogFileSize(128 << 20)
	if len(encryption) > 0 {
		o = o.WithEncryptionKey(encryption)
	}
	return settings.budget().apply(o)
}

// Close stops background work, waits for running calls and closes the database. It is idempotent. A database
// that has failed (Failed) is closed within two seconds, and Close returns an error.
func (e *Engine) Close() error { return e.db.Close() }

// Failed is closed when the database has failed: a commit, a sync or another of its writes. The engine then
// answers every call, including reads, with ticketstore.ErrUnavailable; the outcome of calls in flight is
// unknown. Close the engine, or better end the process, and open the database again, which serves what is on
// disk.
func (e *Engine) Failed() <-chan struct{} { return e.db.Failed() }

// Failure returns why the database failed, or nil if it has not.
func (e *Engine) Failure() error { return e.db.Failure() }

// Format returns the format of the database when it was opened, and the newest format, which this engine
// writes.
func (e *Engine) Format() (opened, newest int) { return e.db.Format(), layout.Version }

// Migrate migrates a database to the newest format and closes it again. It returns the formats before and
// after. Open migrates too.
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

// Describe returns the description of the backend, including whether its disk is nearly full.
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

// About returns the description without the id of the store. It needs no database.
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
// if the module has no version.
var buildVersion string

// Tickets returns the ticket store.
func (e *Engine) Tickets() ticketstore.Store { return tickets{e} }

// Grants returns the grant store.
func (e *Engine) Grants() grantstore.Store { return grants{e} }

// Logout returns the logout store.
func (e *Engine) Logout() logout.Store { return endings{e} }

// read runs a read-only request, unless it is invalid, on a snapshot (kv.DB.View).
func read[T any](
	ctx context.Context, e *Engine, invalid error, f func(r *kv.Snapshot) (T, error),
) (answer T, err error) {
	if invalid != nil {
		return answer, invalid
	}
	err = e.db.View(ctx, func(r *kv.Snapshot) (err error) {
		answer, err = f(r)
		return err
	})
	return answer, err
}

// update runs f in the committer and returns once its changes are durable. f may delay other calls, so it
// must be short; if it returns an error, it changes nothing. A database error is ErrUnavailable. If ctx ends
// before f has started, nothing is changed.
func (e *Engine) update(ctx context.Context, f func(tx *kv.Tx) error) error {
	return e.commitByParts(ctx, &kv.Change{Apply: f})
}

// updateInBackground is update for changes that no user waits for: they yield to the others.
func (e *Engine) updateInBackground(ctx context.Context, f func(tx *kv.Tx) error) error {
	return e.commitByParts(ctx, &kv.Change{Apply: f, Background: true, UseReserve: true})
}

// end is update for ends and revocations: they may use the reserve of a nearly full disk.
func (e *Engine) end(ctx context.Context, f func(tx *kv.Tx) error) error {
	return e.commitByParts(ctx, &kv.Change{Apply: f, UseReserve: true})
}

// Figures implements sessions.Measured. Badger computes the size of its files once a minute.
func (e *Engine) Figures(context.Context) (sessions.Figures, error) {
	return e.db.Figures(), e.db.Failure()
}

// Kills returns the kills of the engine's commits.
func (e *Engine) Kills() grantstore.Kills { return e.db.Kills() }

// Transfer returns the store's transfer.Store.
func (e *Engine) Transfer() transfer.Store { return e.mover }
