//go:build linux

package kv

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// A compaction that finds no inode for its tables loses none of their rows, also where the engine has failed
// before.
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
	disk := tinyDisk(t, 100)
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
	for deadline := time.Now().Add(time.Minute); !flushed(); {
		if rows < 4000 {
			err = db.Update(func(txn *badger.Txn) error { return txn.Set(rowName(rows), make([]byte, 500)) })
			rows++
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("no memory table became a table after %d rows: %v", rows, err)
		}
	}
	// The compaction waits until the database is known.
	others := useInodes(t, disk, 0)
	if failed {
		failure.note("sign in", syscall.EIO)
	}
	log.compactions.watch(db)
	gone := func() bool { return len(db.Tables()) == 0 }
	testenv.Eventually(t, "the compaction ends in a failure", func() bool {
		return gone() && failure.err() != nil
	})
	closeFailed(t, path, db)
	if err := os.RemoveAll(others); err != nil {
		t.Fatal(err)
	}
	rowsAreThere(t, path, options, rows)
}

// tinyDisk is a file system that takes so many files.
func tinyDisk(t *testing.T, inodes int) string {
	t.Helper()
	mount := t.TempDir()
	testenv.Tmpfs(t, mount, 0, fmt.Sprintf("size=1g,nr_inodes=%d", inodes))
	return mount
}

// useInodes creates files until so many more can be made.
func useInodes(t *testing.T, mount string, left uint64) (folder string) {
	t.Helper()
	folder = filepath.Join(mount, "others")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		if free, err := disk.FreeInodes(mount); err != nil || free <= left {
			if err != nil {
				t.Fatal(err)
			}
			return folder
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
