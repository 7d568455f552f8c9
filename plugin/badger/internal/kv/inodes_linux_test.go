//go:build linux

package kv

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// A compaction without inodes for its tables loses no rows, also after the engine has failed.
func TestCompactionWithoutInodes(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]bool{"a sound engine": false, "one that has failed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compactWithoutInodes(t, failed)
		})
	}
}

func compactWithoutInodes(t *testing.T, failed bool) {
	t.Helper()
	disk := testenv.FewInodes(t, 100)
	path := filepath.Join(disk, "db")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	failure := newFailure(path, slog.New(slog.DiscardHandler))
	log := newBadgerLogger(failure)
	options := dbOptions(path).WithLogger(log).
		WithSyncWrites(false).WithMemTableSize(1 << 20).WithNumLevelZeroTables(1).WithValueThreshold(1 << 10)
	if err := log.compactions.note.Open(path); err != nil {
		t.Fatal(err)
	}
	db, err := badger.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	flushed := func() bool { // and the log is removed
		logs, err := files.Names(path, files.LogExt)
		return err == nil && len(logs) == 1 && len(db.Tables()) > 0
	}
	for ; rows < 4000 && err == nil && !flushed(); rows++ {
		err = db.Update(func(txn *badger.Txn) error { return txn.Set(rowName(rows), make([]byte, 500)) })
	}
	if err != nil {
		t.Fatalf("row %d: %v", rows, err)
	}
	testenv.Eventually(t, "a memory table is flushed", flushed)
	// The compaction waits until the database is set.
	others := testenv.UseInodes(t, disk, 0)
	if failed {
		failure.note("sign in", syscall.EIO)
	}
	log.compactions.watch(db)
	gone := func() bool { return len(db.Tables()) == 0 }
	testenv.Eventually(t, "the compaction fails", func() bool {
		return gone() && failure.err() != nil
	})
	closeFailed(t, path, db)
	if err := os.RemoveAll(others); err != nil {
		t.Fatal(err)
	}
	wantRows(t, path, options, rows)
}
