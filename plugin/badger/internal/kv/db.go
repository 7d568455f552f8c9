package kv

// DB: an open database, its background work and its end.

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
	// readOnly: the database is read-only, and nothing goes on in the background.
	readOnly bool
	// refusal is why a database that is read-only for want of room takes no changes.
	refusal error
	// seen is what a read-only database was opened from.
	seen *folder.View
	// format is that of the database when it was opened.
	format int
	// id is the store's.
	id string
	// marker is that of the folder, nil in a read-only database. Marking guards it.
	marker  *folder.Marker
	marking sync.Mutex

	// gate lets calls in until Close, which waits for those that are inside: a snapshot must not outlive the
	// database.
	gate   sync.RWMutex
	closed bool
	// base is the context of background work, which Close waits for, and of exports, which hold the gate for
	// as long as a reader goes on. stop, at the first failure or with Close, ends it.
	base       context.Context //nolint:containedctx // it is the database's own life
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
	go func() { // what goes on in the background ends with the first failure
		select {
		case <-failure.happened:
			d.stop()
		case <-d.base.Done():
		}
	}()
	return d
}

// ID is the store's.
func (d *DB) ID() string { return d.id }

// Format is that of the database when it was opened.
func (d *DB) Format() int { return d.format }

// ReadOnly reports whether the database is read-only: it was opened so, or its disk takes no writes
// (Refusal).
func (d *DB) ReadOnly() bool { return d.readOnly }

// Refusal is the error of every change of a database that is read-only for want of room, nil of any other.
func (d *DB) Refusal() error { return d.refusal }

// Badger returns the database below. What is written there is in no journal and in no account.
func (d *DB) Badger() *badger.DB { return d.db }

// Space says how much room the disk has.
func (d *DB) Space() *disk.Space { return d.space }

// Base is the context of what goes on in the background and of exports: it ends when Close begins, or with
// the first failure.
func (d *DB) Base() context.Context { return d.base }

// Ledger is the state of the store. It must not be changed.
func (d *DB) Ledger() *recordpb.Ledger { return d.committer.metadata.ledger.Load() }

// Kills tells what the commits of the database kill. A read-only one has none to tell.
func (d *DB) Kills() grantstore.Kills { return &d.committer.kills }

// Folder is where the store is.
func (d *DB) Folder() string {
	if d.seen != nil {
		return d.seen.Found.Path
	}
	return d.db.Opts().Dir
}

// TransactionBytes is what one transaction takes.
func (d *DB) TransactionBytes() int { return d.committer.takes.bytes }

// Close ends background work, waits for the calls inside and closes the database. It is idempotent. A
// database that has failed (Failed) is closed within two seconds, which is an error.
func (d *DB) Close() error {
	d.stop() // scans and exports under way give up, so that the gate opens soon
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
	// From here on the logs may be gone, which Badger writes to tables: where the marker still asks for them
	// they have to stay.
	if err := d.markClosed(); err != nil {
		return errors.Join(err, d.failure.err())
	}
	letGo := func() {}
	if d.compactions != nil {
		letGo = d.compactions.hold()
	}
	err := d.db.Close()
	// Badger only logs what it could not write.
	if failed := d.failure.err(); failed != nil {
		return errors.Join(err, failed)
	}
	letGo()
	if d.compactions != nil {
		err = errors.Join(err, d.compactions.note.Close(), disk.ShareFiles(d.db.Opts().Dir))
	}
	return err
}

// abandonTimeout is how long closing a database that has failed may take. What it leaves undone, the next
// Open does.
const abandonTimeout = 1500 * time.Millisecond

// abandon closes a database that has failed, as far as its disk lets it: Badger ends its work only by
// writing what it has in memory, which harms nothing, for all of that is complete transactions. Where that
// does not end, the database is held until the process ends.
func (d *DB) abandon() error {
	closed := make(chan error, 1)
	go func() { closed <- d.shut() }()
	timeout := time.NewTimer(abandonTimeout)
	defer timeout.Stop()
	select {
	case err := <-closed:
		return errors.Join(d.failure.err(), err)
	case <-timeout.C:
		return fmt.Errorf("%w; it cannot be closed: it is held until this process ends", d.failure.err())
	}
}

// Failed is closed when the database has failed: a commit, a sync or another write of it did.
func (d *DB) Failed() <-chan struct{} { return d.failure.happened }

// Failure is why the database has failed, nil while it has not.
func (d *DB) Failure() error { return d.failure.err() }

// Gone is the error of a database that has failed or that is closed.
func (d *DB) Gone() error {
	if err := d.failure.err(); err != nil {
		return err
	}
	return errClosed()
}

func errClosed() error { return fmt.Errorf("%w: the database is closed", ticketstore.ErrUnavailable) }

// usable returns why nothing may be read or changed any more, nil while it may. The caller holds the gate.
func (d *DB) usable() error {
	if d.closed {
		return errClosed()
	}
	return d.failure.err()
}

// InBackground runs f with a context that ends with the database, which waits for it.
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

// View runs f on a snapshot, whose scans end when the caller goes or the database closes, unless the store is
// being filled from another: what is not complete answers nothing.
func (d *DB) View(ctx context.Context, f func(r *Snapshot) error) error {
	if err := d.complete(); err != nil {
		return err
	}
	return d.snapshot(ctx, nil, f)
}

// ViewAlong is View for what walks along an index whose entries go in the order in which they came: its scans
// pass the tombstones that earlier ones have met.
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

// Look is View whatever the state of the store.
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

// Commit has a change applied and returns when it is durable. An error of the database is ErrUnavailable. If
// ctx ends before the change was begun, nothing was changed.
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

// Move commits a part of moving the store, which no state of it forbids. It is small, and without it a store
// could not come back: it may use the room on the disk that is kept free.
func (d *DB) Move(ctx context.Context, f func(tx *Tx) error) error {
	return d.Commit(ctx, &Change{Apply: f, Moves: true, Spare: true})
}
