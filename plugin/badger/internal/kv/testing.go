package kv

// For tests and benchmarks of the engine.

import (
	"context"
	"log/slog"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
)

// OpenOver opens a DB over an open Badger database, without a folder.
func OpenOver(ctx context.Context, db *badger.DB, logger *slog.Logger) (_ *DB, err error) {
	d := newDB(ctx, db, disk.NewSpace("", 0, logger), newFailure("", logger))
	d.committer, err = newCommitter(db, d.damages, d.space, d.failure, testRecent)
	return d, err
}

// testRecent holds the rows of a few sessions.
const testRecent = 64 << 10

// Damage writes to Badger directly, bypassing the committer's metadata, and publishes the writes to readers.
func (d *DB) Damage(ctx context.Context, f func(txn *badger.Txn) error) error {
	return d.Move(ctx, func(*Tx) error { // no commit is running
		if err := d.db.Update(f); err != nil {
			return err
		}
		d.committer.views.publish(d.db.NewTransaction(false), func() {})
		return nil
	})
}

// Commits returns the number of committed transactions.
func (d *DB) Commits() uint64 { return d.committer.commits.Load() }

// Queued returns the number of transactions that made notifications due.
func (d *DB) Queued() uint64 { return d.committer.queued.Load() }

// Bounds are those of the committer. They must be set before the first change, or by one.
type Bounds struct {
	// Changes and Keys are limits of one transaction, Journal the limit of the journal.
	Changes, Keys *int
	Journal       *uint64
}

// Bounds returns the committer's bounds.
func (d *DB) Bounds() Bounds {
	c := d.committer
	return Bounds{Changes: &c.maxChanges, Keys: &c.limit.keys, Journal: &c.metadata.maxJournal}
}
