package kv

// Databases for these tests.

import (
	"context"
	"log/slog"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// dbOptions are options for a small database.
func dbOptions(path string) badger.Options {
	return badger.DefaultOptions(path).WithSyncWrites(false).WithNumVersionsToKeep(1).
		WithDetectConflicts(false).
		WithMemTableSize(12 << 20).WithNumLevelZeroTables(2)
}

// openDB opens a database that the test may make fail.
func openDB(t *testing.T) *DB {
	t.Helper()
	d, err := Open(t.Context(), Config{
		Options: dbOptions(t.TempDir()), MinFree: 1 << 20, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil && d.Failure() == nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// commit commits a change with a waiting user.
func commit(ctx context.Context, d *DB, f func(tx *Tx) error) error {
	return d.Commit(ctx, &Change{Apply: f})
}

// testKey is a key that belongs to no table.
func testKey(name []byte) []byte { return append([]byte("T"), name...) }
