package kv

// Opening a database, for changes or read-only.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Config is the configuration of a database.
type Config struct {
	// Options are Badger's options, without its logger.
	Options badger.Options
	// MinFree is the free disk space to preserve, in bytes.
	MinFree uint64
	// Recent is the size of the cache of recently used rows, in bytes: 0 for none.
	Recent int64
	Logger *slog.Logger
	// Opened, if set, is called with Badger's database as soon as it is open for changes.
	Opened func(db *badger.DB)
}

// Open opens the database of a folder, creating a store if the folder is missing or empty. Without changing
// anything, it refuses a folder with other contents, a database of a newer format, a database that another
// process has open, a wrong encryption key, and a full disk (ErrNoSpace). A database whose disk is not
// writable is opened read-only (Refusal); it fails once the disk is writable again.
func Open(ctx context.Context, c Config) (*DB, error) {
	space := disk.NewSpace(c.Options.Dir, c.MinFree, c.Logger)
	if err := space.Room().RefusesOpening(); err != nil {
		return nil, err
	}
	log := newBadgerLogger(newFailure(c.Options.Dir, c.Logger))
	c.Options = c.Options.WithLogger(log)
	d, err := openFolder(ctx, c, space, log)
	if disk.Refused(err) {
		return openRefusing(ctx, c, err)
	}
	return d, err
}

func openFolder(ctx context.Context, c Config, space *disk.Space, log badgerLogger) (_ *DB, err error) {
	m, err := folder.Take(ctx, c.Options, log.failure.logger)
	if err != nil {
		return nil, err
	}
	if err := disk.TakesWrites(c.Options); err != nil {
		return nil, err
	}
	path, note := c.Options.Dir, &log.compactions.note
	if err := note.Open(path); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, disk.Explain(path, err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, note.Close())
		}
	}()
	if err := folder.SettleLogs(m, c.Options, log.failure.err); err != nil {
		return nil, err
	}
	db, err := log.compactions.open(c.Options)
	if err != nil {
		return nil, folder.ExplainOpen(path, err)
	}
	if c.Opened != nil {
		c.Opened(db)
	}
	d := newDB(ctx, db, space, log.failure)
	d.compactions = log.compactions
	if err := d.start(ctx, m, c.Options, c.Recent); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, disk.Explain(path, err)), d.Close())
	}
	for _, tend := range []func(ctx context.Context){
		d.tendValueLog, d.tendContents, d.tendMarker, d.compactions.renew,
	} {
		if err := d.InBackground(tend); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

// start migrates an older database, marks the store as open and starts the committer.
func (d *DB) start(
	ctx context.Context, m *folder.Marker, options badger.Options, recent int64,
) (err error) {
	d.marker = m // Close marks the store as closed even after a failed start: the logs may be gone then.
	if err := d.migrate(ctx, m.Format); err != nil {
		return err
	}
	if d.id, err = folder.StoreID(d.db); err != nil {
		d.failure.note("open", err)
		return d.failure.err()
	}
	m.Format, m.Store, m.State, m.MemoryTable = layout.Version, d.id, folder.StateOpen, options.MemTableSize
	if err := errors.Join(m.Note(options.Dir), m.Write(options.Dir)); err != nil {
		return err
	}
	if d.committer, err = newCommitter(d.db, d.damages, d.space, d.failure, recent); err != nil {
		return err
	}
	// Before the first change is submitted.
	d.committer.witness = disk.WitnessOf(filepath.Join(options.Dir, folder.UnfinishedFile))
	return nil
}

var errReadOnly = errors.New("the database was opened read-only: it takes no changes")

// OpenReadOnly opens a database read-only: it creates and migrates nothing, refuses every change, and writes
// nothing to the folder. It refuses what Open refuses, except a full disk, and also a missing or empty
// folder. For a database whose process was killed it creates a private view in the folder for temporary
// files, with copies of the logs that Badger would otherwise truncate in place.
func OpenReadOnly(ctx context.Context, c Config) (*DB, error) {
	path := c.Options.Dir
	if _, err := folder.MarkerAt(path); err != nil {
		return nil, err
	}
	v, err := folder.OpenView(path, c.Options.EncryptionKey)
	if err != nil {
		return nil, err
	}
	v.Found.Report(ctx, v.Marker, c.Logger)
	failure, space := newFailure(path, c.Logger), disk.NewSpace(path, c.MinFree, c.Logger)
	db, err := v.Open(c.Options.WithLogger(newBadgerLogger(failure)))
	if err != nil {
		return nil, errors.Join(folder.ExplainOpen(path, err), v.Close())
	}
	d := newDB(ctx, db, space, failure)
	d.seen, d.readOnly, d.format = v, true, v.Marker.Format
	if d.committer, err = newCommitter(db, d.damages, space, failure, c.Recent); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), d.Close())
	}
	return d, nil
}

// probeEvery is the interval at which a refusing database checks whether its disk is writable again.
const probeEvery = 10 * time.Second

// openRefusing opens a database whose disk is not writable read-only. Every change is refused with the
// reason. Once the disk is writable again, the database fails, so that it is reopened for changes.
func openRefusing(ctx context.Context, c Config, reason error) (*DB, error) {
	path := c.Options.Dir
	refusal := fmt.Errorf("%w: it is read-only until there is room: %w",
		ticketstore.ErrNoSpace, disk.Explain(path, reason))
	if m, err := folder.ReadMarker(path); err != nil || m.Store == "" || m.Format != layout.Version {
		return nil, errors.Join(refusal, err)
	}
	d, err := OpenReadOnly(ctx, c)
	if err != nil {
		return nil, errors.Join(refusal, err)
	}
	d.refusal, d.id = refusal, d.seen.Marker.Store
	d.logger.ErrorContext(ctx, "the store is served read-only: its disk accepts no writes",
		"path", path, "error", reason)
	if err := d.InBackground(func(ctx context.Context) { d.awaitDisk(ctx, c.Options) }); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// awaitDisk waits until the disk is writable.
func (d *DB) awaitDisk(ctx context.Context, options badger.Options) {
	every(ctx, probeEvery, func() {
		if disk.TakesWrites(options) == nil {
			if err := d.seen.Discard(); err != nil {
				d.logger.WarnContext(ctx, "a private view of the store is left behind", "error", err)
			}
			d.failure.note("serving read-only", errors.New("the disk takes writes again")) // this ends ctx
		}
	})
}
