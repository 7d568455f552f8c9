package badger

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Engine is an open database. It serves the three stores and is safe for concurrent use.
type Engine struct {
	db        *badger.DB
	committer *committer
	logger    *slog.Logger
	damages   *damages
	space     *space
	failure   *failure
	// compactions is nil in an engine that was opened to be looked at.
	compactions *compactions
	// still: the database was opened to be looked at. No change is taken, and nothing goes on in the background.
	still bool
	// refusal is why a database that is still for want of room takes no changes.
	refusal error
	// seen is what such a database was opened from.
	seen *view
	// format is that of the database when it was opened.
	format int

	// gate lets calls in until Close, which waits for those that are inside: a snapshot must not outlive the database.
	gate   sync.RWMutex
	closed bool

	// base is the context of background work, which stop ends and Close waits for.
	base       context.Context //nolint:containedctx // it is the engine's own life
	stop       context.CancelFunc
	background sync.WaitGroup
	// leaving ends exports, which hold the gate for as long as somebody reads on; leave begins Close.
	leaving   context.Context //nolint:containedctx // as base
	leave     context.CancelFunc
	jobs      jobLocks
	noticeSeq atomic.Uint32
	// id is the store's.
	id string
	// marker is that of the folder, nil in a database that is still. Marking guards it.
	marker  *marker
	marking sync.Mutex
	turns   turns
}

// Open opens the database of the settings, or creates it in a folder that is missing or empty. It refuses, without changing anything, a
// folder that holds something else, a database of a newer format, one that another process has open, a wrong encryption key, and a disk that
// is full (ErrNoSpace). Where the context has ids of stores (ticketstore.WithStoreIDs), what is none of those is refused as ErrOtherStore.
// For a process that has the database open it waits until shortly before the context's deadline, if there is one.
// Endings that a crash has interrupted go on in the background.
func Open(ctx context.Context, settings Settings, logger *slog.Logger) (*Engine, error) {
	encryption, err := settings.validate()
	if err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	space := newSpace(&settings, logger)
	if err := space.room().refusesOpening(); err != nil {
		return nil, err
	}
	log := newBadgerLogger(newFailure(settings.Path, logger))
	e, err := openFolder(ctx, databaseOptions(settings, encryption, log), space, log)
	if refusedByDisk(err) {
		return openRefusing(ctx, settings, log, err)
	}
	if err != nil {
		return nil, err
	}
	logger.InfoContext(ctx, "database opened", "path", settings.Path, "sync", settings.sync(),
		"encrypted", len(encryption) > 0, "format", formatVersion)
	return e, nil
}

// openFolder opens the database of a folder, which becomes a session store if it is none.
func openFolder(ctx context.Context, options badger.Options, space *space, log badgerLogger) (_ *Engine, err error) {
	m, err := takeFolder(ctx, options, log.failure.logger)
	if err != nil {
		return nil, err
	}
	if err := takesWrites(options); err != nil {
		return nil, err
	}
	note := &log.compactions.note
	if err := note.open(options.Dir); err != nil {
		return nil, fmt.Errorf("open database %s: %w", options.Dir, explainDisk(options.Dir, err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, note.close())
		}
	}()
	if err := settleLogs(m, options, log.failure); err != nil {
		return nil, err
	}
	db, err := log.compactions.open(options)
	if err != nil {
		return nil, explainOpen(options.Dir, err)
	}
	releaseBuffers(db)
	e := newEngine(ctx, db, space, log.failure)
	e.compactions = log.compactions
	if err := e.start(ctx, m, options); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", options.Dir, explainDisk(options.Dir, err)), e.Close())
	}
	e.noticeSeq.Store(binary.BigEndian.Uint32([]byte(rand.Text())))
	if err := e.resume(e.base); err != nil {
		return nil, errors.Join(fmt.Errorf("resume interrupted endings: %w", err), e.Close())
	}
	for _, tend := range []func(context.Context){e.tendValueLog, e.tendContents, e.tendMarker, e.compactions.renew} {
		if err := e.inBackground(tend); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	if e.failure.err() != nil {
		return nil, e.Close()
	}
	return e, nil
}

func newEngine(ctx context.Context, db *badger.DB, space *space, failure *failure) *Engine {
	logger := failure.logger
	e := &Engine{db: db, logger: logger, damages: &damages{logger: logger}, space: space, failure: failure, format: formatVersion}
	e.base, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	e.leaving, e.leave = context.WithCancel(e.base)
	go func() { // what goes on in the background ends with the first failure
		select {
		case <-failure.happened:
			e.stop()
		case <-e.base.Done():
		}
	}()
	return e
}

func databaseOptions(settings Settings, encryption []byte, logger badgerLogger) badger.Options {
	o := badger.DefaultOptions(settings.Path).
		WithLogger(logger).
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

// start brings an older database up to date, marks the store as open and starts the committer.
func (e *Engine) start(ctx context.Context, m *marker, options badger.Options) (err error) {
	e.marker = m // Close marks the store as closed, also where the start fails: the logs may be gone then.
	if err := e.migrate(ctx, m.format); err != nil {
		return err
	}
	if e.id, err = storeID(e.db); err != nil {
		e.failure.note("open", err)
		return e.failure.err()
	}
	m.format, m.store, m.state, m.memoryTable = formatVersion, e.id, stateOpen, options.MemTableSize
	if err := errors.Join(m.note(options.Dir), m.write(options.Dir)); err != nil {
		return err
	}
	if e.committer, err = newCommitter(e.db, e.damages, e.space, e.failure); err != nil {
		return err
	}
	e.committer.witness = witnessOf(filepath.Join(options.Dir, unfinishedFile)) // before the first change is sent
	return nil
}

// Close ends background work, waits for the calls inside and closes the database. It is idempotent. A database that has failed (Failed) is
// closed within two seconds, which is an error.
func (e *Engine) Close() error {
	// Scans and exports under way give up, so that the gate opens soon.
	e.leave()
	e.stop()
	if e.failure.err() != nil {
		return e.abandon()
	}
	return e.shut()
}

func (e *Engine) shut() error {
	e.gate.Lock()
	if e.closed {
		e.gate.Unlock()
		return nil
	}
	e.closed = true
	e.gate.Unlock()
	return errors.Join(e.closeDatabase(), e.seen.close())
}

func (e *Engine) closeDatabase() error {
	e.background.Wait()
	if e.committer != nil {
		e.committer.close()
	}
	// From here on the logs may be gone, which Badger writes to tables: where the marker still asks for them they have to stay.
	if err := e.markClosed(); err != nil {
		return errors.Join(err, e.failure.err())
	}
	letGo := func() {}
	if e.compactions != nil {
		letGo = e.compactions.hold()
	}
	err := e.db.Close()
	// Badger tells its log alone what it could not write.
	if failed := e.failure.err(); failed != nil {
		return errors.Join(err, failed)
	}
	letGo()
	if e.compactions != nil {
		err = errors.Join(err, e.compactions.note.close(), shareFiles(e.db.Opts().Dir))
	}
	return err
}

// Describe says what this backend is, and whether its disk is nearly full.
func (e *Engine) Describe(context.Context) (ticketstore.Description, error) {
	if err := e.failure.err(); err != nil {
		return ticketstore.Description{}, err
	}
	d := About()
	d.StoreID = e.id
	if e.refusal != nil {
		d.Trouble = e.refusal.Error()
	} else if trouble := e.space.room().trouble(); trouble != "" {
		d.Trouble = "its disk is nearly full: " + trouble
	}
	return d, nil
}

// About is what Describe says, but for the id of the store. It needs no database.
func About() ticketstore.Description {
	return ticketstore.Description{
		Name:     "badger",
		Version:  version(),
		Format:   formatVersion,
		Services: []string{"tickets", "grants", "logout", ticketstore.PropertiesService, transfer.Service},
	}
}

// buildVersion is set by -ldflags "-X github.com/fosite-sessions/sessions/plugin/badger.buildVersion=v1.2.3" where the module has no version.
var buildVersion string

func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// Tickets returns the ticket store.
func (e *Engine) Tickets() ticketstore.Store { return tickets{e} }

// Grants returns the grant store.
func (e *Engine) Grants() grantstore.Store { return grants{e} }

// Logout returns the logout store.
func (e *Engine) Logout() logout.Store { return endings{e} }

// inBackground runs f with a context that ends with the engine, which waits for it.
func (e *Engine) inBackground(f func(ctx context.Context)) error {
	e.gate.RLock()
	defer e.gate.RUnlock()
	if e.closed {
		return errClosed()
	}
	if err := e.failure.err(); err != nil {
		return err
	}
	e.background.Go(func() { f(e.base) })
	return nil
}

func errClosed() error { return fmt.Errorf("%w: the database is closed", ticketstore.ErrUnavailable) }

// view runs f on a snapshot, whose scans end when the caller goes or the engine closes, unless the store is being filled from another: what
// is not complete answers nothing.
func (e *Engine) view(ctx context.Context, f func(r reader) error) error {
	if err := e.complete(); err != nil {
		return err
	}
	return e.look(ctx, f)
}

// viewAlong is view for what walks along an emptied index.
func (e *Engine) viewAlong(ctx context.Context, f func(r reader) error) error {
	if err := e.complete(); err != nil {
		return err
	}
	gaps := e.committer.gaps.lookOut()
	defer gaps.close()
	return e.snapshot(ctx, gaps, f)
}

func (e *Engine) complete() error {
	switch transfer.State(e.committer.books.ledger.Load().GetState()) {
	case transfer.Importing, transfer.Abandoned:
		return errImporting
	}
	return nil
}

// look runs f on a snapshot, whatever the state of the store.
func (e *Engine) look(ctx context.Context, f func(r reader) error) error {
	return e.snapshot(ctx, nil, f)
}

func (e *Engine) snapshot(ctx context.Context, gaps *lookout, f func(r reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.gate.RLock()
	defer e.gate.RUnlock()
	if e.closed {
		return errClosed()
	}
	if err := e.failure.err(); err != nil {
		return err
	}
	queued := e.committer.queued.Load()
	txn := e.db.NewTransaction(false)
	defer txn.Discard()
	err := f(snapshot{txn: txn, damages: e.damages, queued: queued, gaps: gaps, ended: func() error {
		if e.base.Err() != nil {
			return e.gone()
		}
		return ctx.Err()
	}})
	// What was read, or not found, may be the work of a commit that has failed.
	e.committer.awaitOutcome(txn.ReadTs())
	if failed := e.failure.err(); failed != nil {
		return failed
	}
	return err
}

// update runs f in the committer and returns when its changes are durable. f may run while other calls wait, so it must be short; it
// changes nothing if it returns an error. An error of the database is ErrUnavailable. If ctx ends before f was begun, nothing was changed.
func (e *Engine) update(ctx context.Context, f func(tx *tx) error) error {
	return e.commitThinned(ctx, &change{apply: f})
}

// updateBehind is update for what no user waits for: it lets the others go first.
func (e *Engine) updateBehind(ctx context.Context, f func(tx *tx) error) error {
	return e.commitThinned(ctx, &change{apply: f, behind: true, spare: true})
}

// end is update for what ends and revokes: a disk that is nearly full has room for that.
func (e *Engine) end(ctx context.Context, f func(tx *tx) error) error {
	return e.commitThinned(ctx, &change{apply: f, spare: true})
}

// move is update for a part of moving the store, which no state of it forbids. It is small, and without it a store could not come back.
func (e *Engine) move(ctx context.Context, f func(tx *tx) error) error {
	return e.commit(ctx, &change{apply: f, moves: true, spare: true})
}

// fill is move for the records themselves.
func (e *Engine) fill(ctx context.Context, f func(tx *tx) error) error {
	return e.commit(ctx, &change{apply: f, moves: true})
}

func (e *Engine) commit(ctx context.Context, ch *change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.refusal != nil {
		return e.refusal
	}
	if e.still {
		return errStill
	}
	e.gate.RLock()
	defer e.gate.RUnlock()
	if e.closed {
		return errClosed()
	}
	if err := e.failure.err(); err != nil {
		return err
	}
	return e.committer.do(ctx, ch)
}
