package kv

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// Badger only logs that a table could not be written. Here the database fails: it can be closed, and has all
// rows when it is reopened.
func TestFailedFlushIsFinal(t *testing.T) {
	t.Parallel()
	tableFails(t, 1)
}

// TestFailedCompactionIsFinal is TestFailedFlushIsFinal for a compaction: the first table was flushed, the
// second is the compaction's.
func TestFailedCompactionIsFinal(t *testing.T) {
	t.Parallel()
	tableFails(t, 2)
}

func tableFails(t *testing.T, id int) {
	t.Helper()
	path := t.TempDir()
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
	log.compactions.watch(db)
	obstacle := filepath.Join(path, fmt.Sprintf("%06d.sst", id))
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	rows := 0
	write := func(db *badger.DB) error {
		return db.Update(func(txn *badger.Txn) error {
			for range 100 {
				if err := txn.Set(rowName(rows), bytes.Repeat([]byte("x"), 500)); err != nil {
					return err
				}
				rows++
			}
			return nil
		})
	}
	deadline := time.Now().Add(time.Minute)
	// Enough for one memory table and a little of the next; a compaction then begins within about a second.
	for failure.err() == nil && rows < 4000 && time.Now().Before(deadline) {
		if err := write(db); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-failure.happened:
	case <-time.After(time.Until(deadline)):
		t.Fatal("the failure is not detected")
	}
	closeFailed(t, path, db)
	if err := os.Remove(obstacle); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	wantRows(t, path, options, rows)
}

// closeFailed closes a failed database, which must leave the note of unfinished tables for its next start.
func closeFailed(t *testing.T, path string, db *badger.DB) {
	t.Helper()
	if note, err := os.ReadFile(filepath.Join(path,
		folder.UnfinishedFile)); err != nil || len(note) == 0 || note[0] != folder.TablesUnfinished {
		t.Errorf("no note of unfinished tables for the next start: %q, %v", note, err)
	}
	closed := make(chan struct{})
	go func() {
		_ = db.Close() // its error is in the failure
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("the database does not close")
	}
}

// rowName is the key of a test's row.
func rowName(i int) []byte { return fmt.Appendf(nil, "%08d", i) }

// wantRows opens a database like the next process, and checks its number of rows.
func wantRows(t *testing.T, path string, options badger.Options, rows int) {
	t.Helper()
	m := &folder.Marker{Format: layout.Version}
	found, err := folder.Look(path, m, nil)
	if err == nil {
		err = found.Ready(m)
	}
	if err != nil {
		t.Fatal(err)
	}
	log := newBadgerLogger(newFailure(path, slog.New(slog.DiscardHandler)))
	if err := log.compactions.note.Open(path); err != nil {
		t.Fatal(err)
	}
	db, err := folder.OpenReleased(options.WithLogger(log))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	log.compactions.watch(db)
	err = db.View(func(txn *badger.Txn) error {
		for i := range rows {
			if _, err := txn.Get(rowName(i)); err != nil {
				return fmt.Errorf("row %d of %d: %w", i, rows, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
