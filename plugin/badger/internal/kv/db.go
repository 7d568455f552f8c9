package kv

// DB: an open database, its background work and its closing.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/spans"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	db        *badger.DB
	committer *committer
	logger    *slog.Logger
	damages   *damages
	space     *disk.Space
	failure   *failure
	// compactions is nil in a read-only database.
	compactions *compactions
	// readOnly: the database is read-only and has no background work.
	readOnly bool
	// refusal is why a database that is read-only for lack of disk space refuses changes.
	refusal error
	// seen is the view from which a read-only database was opened.
	seen *folder.View
	// format is that of the database when it was opened.
	format int
	// id is the id of the store.
	id string
	// marker is the folder's marker, nil in a read-only database. It is guarded by marking.
	marker  *folder.Marker
	marking sync.Mutex

	// gate is held for reading by calls until Close, which waits for them: a snapshot must not outlive the
	// database.
	gate   sync.RWMutex
	closed bool
	// base is the context of background work, which Close waits for, and of exports, which hold the gate
	// while they run. stop ends it, at the first failure or in Close.
	base       context.Context //nolint:containedctx // the database's own lifetime
	stop       context.CancelFunc
	background sync.WaitGroup
}

func newDB(ctx context.Context, db *badger.DB, space *disk.Space, failure *failure) *DB {
	logger := failure.logger
	d := &DB{
		db: db, logger: logger, damages: &damages{logger: logger}, space: space, failure: failure,
		format: layout.Version,
	}
	d.base, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() { // background work ends with the first failure
		select {
		case <-failure.happened:
			d.stop()
		case <-d.base.Done():
		}
	}()
	return d
}

// ID returns the id of the store.
func (d *DB) ID() string { return d.id }

// Format returns the format of the database when it was opened.
func (d *DB) Format() int { return d.format }

// ReadOnly reports whether the database is read-only: it was opened read-only, or its disk is not writable
// (Refusal).
func (d *DB) ReadOnly() bool { return d.readOnly }

// Refusal returns the error of every change if the database is read-only for lack of disk space, else nil.
func (d *DB) Refusal() error { return d.refusal }

// Badger returns the underlying database. Direct writes to it bypass the journal and the contents.
func (d *DB) Badger() *badger.DB { return d.db }

// Space returns the disk space monitor.
func (d *DB) Space() *disk.Space { return d.space }

// Base returns the context of background work and exports: it ends when Close begins, or with the first
// failure.
func (d *DB) Base() context.Context { return d.base }

// Ledger returns the state of the store. It must not be changed.
func (d *DB) Ledger() *recordpb.Ledger { return d.committer.metadata.ledger.Load() }

// Kills returns the kills of the database's commits. A read-only database has none.
func (d *DB) Kills() grantstore.Kills { return &d.committer.kills }

// Folder returns the folder of the store.
func (d *DB) Folder() string {
	if d.seen != nil {
		return d.seen.Found.Path
	}
	return d.db.Opts().Dir
}

// TransactionBytes returns the maximum size of a transaction.
func (d *DB) TransactionBytes() int { return d.committer.limit.bytes }

// Close stops background work, waits for running calls and closes the database. It is idempotent. A database
// that has failed (Failed) is closed within two seconds, and Close returns an error.
func (d *DB) Close() error {
	d.stop() // makes running scans and exports stop, so that the gate opens soon
	if d.failure.err() != nil {
		return d.abandon()
	}
	return d.shut()
}

func (d *DB) shut() error {
	d.gate.Lock()
	if d.closed {
		d.gate.Unlock()
		return nil
	}
	d.closed = true
	d.gate.Unlock()
	return errors.Join(d.closeDatabase(), d.seen.Close())
}

func (d *DB) closeDatabase() error {
	d.background.Wait()
	if d.committer != nil {
		d.committer.close()
	}
	// From here on Badger may flush the logs to tables and remove them: if the marker still requires them,
	// they must stay.
	if err := d.markClosed(); err != nil {
		return errors.Join(err, d.failure.err())
	}
	release := func() {}
	if d.compactions != nil {
		release = d.compactions.hold()
	}
	err := d.db.Close()
	// Badger only logs failed writes.
	if failed := d.failure.err(); failed != nil {
		return errors.Join(err, failed)
	}
	release()
	if d.compactions != nil {
		err = errors.Join(err, d.compactions.note.Close(), disk.ShareFiles(d.db.Opts().Dir))
	}
	return err
}

// abandonTimeout bounds the closing of a failed database. The next Open does what remains.
const abandonTimeout = 1500 * time.Millisecond

// abandon closes a failed database as far as its disk allows. Badger stops only by writing its memory tables,
// which is harmless, because they hold only complete transactions. If that does not finish, the database
// stays open until the process ends.
func (d *DB) abandon() error {
	closed := make(chan error, 1)
	go func() { closed <- d.shut() }()
	select {
	case err := <-closed:
		return errors.Join(d.failure.err(), err)
	case <-time.After(abandonTimeout):
		return fmt.Errorf("%w; it cannot be closed: it is held until this process ends", d.failure.err())
	}
}

// Failed is closed when the database has failed: a commit, a sync or another write of it did.
func (d *DB) Failed() <-chan struct{} { return d.failure.happened }

// Failure returns why the database failed, or nil if it has not.
func (d *DB) Failure() error { return d.failure.err() }

// Gone returns the error of a database that has failed or is closed.
func (d *DB) Gone() error {
	if err := d.failure.err(); err != nil {
		return err
	}
	return errClosed()
}

func errClosed() error { return fmt.Errorf("%w: the database is closed", ticketstore.ErrUnavailable) }

// usable returns an error if the database has failed or is closed. The caller holds the gate.
func (d *DB) usable() error {
	if d.closed {
		return errClosed()
	}
	return d.failure.err()
}

// InBackground runs f with a context that ends with the database; Close waits for f.
func (d *DB) InBackground(f func(ctx context.Context)) error {
	d.gate.RLock()
	defer d.gate.RUnlock()
	if err := d.usable(); err != nil {
		return err
	}
	d.background.Go(func() { f(d.base) })
	return nil
}

// every calls f at intervals until the context ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f()
		}
	}
}

// View runs f on a snapshot, whose scans stop when the caller's context ends or the database closes. It fails
// for a store that is being filled by a move, because its data is incomplete.
func (d *DB) View(ctx context.Context, f func(r *Snapshot) error) error {
	if err := d.complete(); err != nil {
		return err
	}
	return d.snapshot(ctx, nil, f)
}

// ViewAlong is View for walks along an index whose entries are deleted in insertion order: its scans skip the
// tombstones found by earlier scans.
func (d *DB) ViewAlong(ctx context.Context, f func(r *Snapshot) error) error {
	if err := d.complete(); err != nil {
		return err
	}
	observer := d.committer.tombstones.observe()
	defer observer.close()
	return d.snapshot(ctx, observer, f)
}

func (d *DB) complete() error {
	return rules.Serves(transfer.State(d.Ledger().GetState()))
}

// Look is View regardless of the state of the store.
func (d *DB) Look(ctx context.Context, f func(r *Snapshot) error) error {
	return d.snapshot(ctx, nil, f)
}

func (d *DB) snapshot(ctx context.Context, observer *observer, f func(r *Snapshot) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r := spans.FromContext(ctx); r != nil {
		began := time.Now()
		defer func() {
			r.AddRead(spans.Span{Name: "read", Start: began, End: time.Now(), Attributes: ofReads})
		}()
	}
	d.gate.RLock()
	defer d.gate.RUnlock()
	if err := d.usable(); err != nil {
		return err
	}
	queued := d.committer.queued.Load()
	v := d.committer.views.take()
	defer d.committer.views.give(v)
	ended := func() error {
		if d.base.Err() != nil {
			return d.Gone()
		}
		return ctx.Err()
	}
	err := f(&Snapshot{txn: v.txn, damages: d.damages, queued: queued, tombstones: observer, ended: ended,
		recent: d.committer.recent})
	if failed := d.failure.err(); failed != nil {
		return failed
	}
	return err
}

// Commit applies a change and returns once it is durable. A database error is ErrUnavailable. If ctx ends
// before the change has started, nothing is changed.
func (d *DB) Commit(ctx context.Context, ch *Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.refusal != nil {
		return d.refusal
	}
	if d.readOnly {
		return errReadOnly
	}
	d.gate.RLock()
	defer d.gate.RUnlock()
	if err := d.usable(); err != nil {
		return err
	}
	return d.committer.do(ctx, ch)
}

// Move commits a step of a move, which is allowed in every state of the store. It may use the disk space
// reserve, because it is small, and without it a store could not become usable again.
func (d *DB) Move(ctx context.Context, f func(tx *Tx) error) error {
	return d.Commit(ctx, &Change{Apply: f, Moves: true, UseReserve: true})
}
