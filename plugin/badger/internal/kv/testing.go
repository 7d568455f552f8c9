package kv

// What tests of the engine need of a database.

import (
	"context"
	"log/slog"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
)

// What follows is for the tests and benchmarks of the engine.

// OpenOver makes a database of what Badger has open, without a folder.
func OpenOver(ctx context.Context, db *badger.DB, logger *slog.Logger) (_ *DB, err error) {
	d := newDB(ctx, db, disk.NewSpace("", 0, logger), newFailure("", logger))
	d.committer, err = newCommitter(db, d.damages, d.space, d.failure, testRecent)
	return d, err
}

// testRecent has the rows of few sessions in it.
const testRecent = 64 << 10

// Damage has f write past the committer, which keeps the books of what it writes, and shows it to readers.
func (d *DB) Damage(ctx context.Context, f func(txn *badger.Txn) error) error {
	return d.Move(ctx, func(*Tx) error { // no commit is under way
		if err := d.db.Update(f); err != nil {
			return err
		}
		d.committer.views.publish(d.db.NewTransaction(false), func() {})
		return nil
	})
}

// Commits is how many transactions were committed.
func (d *DB) Commits() uint64 { return d.committer.commits.Load() }

// Queued is how many transactions there were in which notifications fell due.
func (d *DB) Queued() uint64 { return d.committer.queued.Load() }

// Bounds are those of the committer. A function that sets them is called before the first change, or by one.
type Bounds struct {
	// Changes and Keys are what one transaction takes, Journal the entries of a journal that is not read.
	Changes, Keys *int
	Journal       *uint64
}

// Bounds returns the committer's.
func (d *DB) Bounds() Bounds {
	c := d.committer
	return Bounds{Changes: &c.most, Keys: &c.takes.keys, Journal: &c.metadata.maxJournal}
}
