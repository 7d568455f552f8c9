package badger

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// openWith opens a database with a memory budget.
func openWith(t *testing.T, path string, mib int) *Engine {
	t.Helper()
	noSync := false
	e, err := Open(t.Context(), Settings{Path: path, Sync: &noSync, MemoryMiB: mib},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("open with %d MiB: %v", mib, err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// killed returns a copy of an open database: it is like that of a killed process.
func killed(t *testing.T, path string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(path)); err != nil {
		t.Fatal(err)
	}
	if logs, err := files.Names(to, files.LogExt); err != nil || len(logs) == 0 {
		t.Fatalf("the copy has no log: %v", err)
	}
	return to
}

// A database killed with one memory setting opens with any other, without losing data: its logs are read with
// the size of memory tables recorded in the marker.
func TestKilledDatabaseOpensWithOtherMemory(t *testing.T) {
	testenv.SkipRace(t, "it opens stores one after another")
	t.Parallel()
	// Sessions of 64 KiB: together less than a memory table of the setting, and with a large setting more
	// than one of a small setting.
	for before, sessions := range map[int]int{1024: 440, 512: 440, 64: 100} {
		path := t.TempDir()
		e := openWith(t, path, before)
		for i := range sessions {
			s := anHour(fmt.Sprint(i), "ann")
			s.Ticket = bytes.Repeat([]byte{byte(i)}, ticketstore.MaxTicket)
			if err := e.Tickets().Create(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		left := killed(t, path)
		for _, after := range []int{1024, 256, 64} {
			t.Run(fmt.Sprintf("%d MiB, then %d", before, after), func(t *testing.T) {
				again := killed(t, left)
				wantSessions(t, openWith(t, again, after), sessions)
				// It opens with the first setting again.
				wantSessions(t, openWith(t, killed(t, again), before), sessions)
			})
		}
		if before == 1024 { // the size of stores whose marker does not record it
			old := killed(t, left)
			if err := os.WriteFile(filepath.Join(old, disk.MarkerFile),
				fmt.Appendf(nil, folder.MarkerFormat, layout.Version), 0o600); err != nil {
				t.Fatal(err)
			}
			wantSessions(t, openWith(t, old, 64), sessions)
		}
	}
}

func wantSessions(t *testing.T, e *Engine, sessions int) {
	t.Helper()
	for i := range sessions {
		s, err := e.Tickets().Get(t.Context(), ticketstore.KeyOf(fmt.Sprint(i)))
		if err != nil || len(s.Ticket) != ticketstore.MaxTicket || s.Ticket[0] != byte(i) {
			t.Fatalf("session %d: %v", i, err)
		}
	}
}

// A read-only open of such a database reads its logs with the recorded size, too.
func TestReadOnlyOpenWithOtherMemory(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	e := openWith(t, path, 1024)
	s := anHour("sid", "ann")
	for i := range 300 {
		s.SessionID, s.Key, s.Ticket = fmt.Sprint(i), ticketstore.KeyOf(fmt.Sprint(i)), make([]byte,
			ticketstore.MaxTicket)
		if err := e.Tickets().Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	store, err := OpenReadOnly(t.Context(), Settings{Path: killed(t, path), MemoryMiB: 64}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	if _, err := store.Tickets().Get(t.Context(), ticketstore.KeyOf("299")); err != nil {
		t.Error(err)
	}
}

// The copies that a read-only open of such a database makes are removed as soon as they are open: a process
// that is killed leaves none.
func TestReadOnlyOpenLeavesNoCopies(t *testing.T) {
	path, temporary := t.TempDir(), t.TempDir()
	e := openWith(t, path, 64)
	if err := e.Tickets().Create(t.Context(), anHour("sid", "ann")); err != nil {
		t.Fatal(err)
	}
	path = killed(t, path)
	t.Setenv("TMPDIR", temporary)
	store, err := OpenReadOnly(t.Context(), Settings{Path: path, MemoryMiB: 64}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(temporary, "*", "*")); len(files) != 0 || err != nil {
		t.Errorf("copies of the open store: %v, %v, want none", files, err)
	}
	if _, err := store.Tickets().Get(t.Context(), ticketstore.KeyOf("sid")); err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(temporary); len(left) != 0 || err != nil {
		t.Errorf("left after its end: %v, %v, want nothing", left, err)
	}
}

// logsEnv makes the test below a process that is killed with unflushed logs. It names the folder.
const logsEnv = "SESSIONS_TEST_PILE"

const logRows = 60 // of 1 MiB: five memory tables

// A start flushes many logs one after another, with the memory that one log needs. After a kill in between
// the next start continues.
func TestManyUnflushedLogs(t *testing.T) {
	if path := os.Getenv(logsEnv); path != "" {
		fillLogs(t, path)
		return
	}
	testenv.SkipRace(t, "it opens stores one after another")
	path := t.TempDir()
	if err := (&folder.Marker{Format: layout.Version}).Write(path); err != nil {
		t.Fatal(err)
	}
	process := testenv.Start(t, testenv.Self(t, "TestManyUnflushedLogs", logsEnv+"="+path))
	_, said := process.Said("piled")
	process.Kill()
	logs, err := files.Names(path, files.LogExt)
	if err != nil || len(logs) < 3 || !said {
		t.Fatalf("%d unflushed logs, %v, want at least 3: %s", len(logs), err, &process.Log)
	}
	wantLogRows(t, openWith(t, killed(t, path), 64))

	// Killed while flushing the second: Badger has created a log with the number of a hidden one.
	for _, name := range logs[1:] {
		if err := os.Rename(filepath.Join(path, name), filepath.Join(path, name+files.PutOff)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(path, logs[1]), make([]byte, 1<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := OpenReadOnly(t.Context(), Settings{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantLogRows(t, store)
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	wantLogRows(t, openWith(t, path, 64))
}

// fillLogs writes to a database that flushes no log: level 0 is full and is not compacted.
func fillLogs(t *testing.T, path string) {
	settings := Settings{Path: path, MemoryMiB: 64}
	db, err := folder.OpenReleased(databaseOptions(settings, nil).WithLogger(nil).WithSyncWrites(false).
		WithNumMemtables(8).WithNumCompactors(0).WithNumLevelZeroTables(1).WithNumLevelZeroTablesStall(2))
	if err != nil {
		t.Fatal(err)
	}
	for i := range logRows {
		err := db.Update(func(txn *badger.Txn) error { return txn.Set(logKey(i), make([]byte, 1<<20-64)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, "the first two logs are flushed", func() bool {
		logs, err := files.Names(path, files.LogExt)
		if err != nil || len(logs) == 0 {
			t.Fatal(logs, err)
		}
		return logs[0] >= "00003"
	})
	fmt.Println("piled up")
	select {}
}

// logKey belongs to no table of the engine, which would purge its row.
func logKey(i int) []byte { return fmt.Appendf(nil, "\xf0pile-%d", i) }

func wantLogRows(t *testing.T, e *Engine) {
	t.Helper()
	err := e.db.Badger().View(func(txn *badger.Txn) error {
		for i := range logRows {
			if _, err := txn.Get(logKey(i)); err != nil {
				return fmt.Errorf("row %d: %w", i, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
