package badger_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func create(t *testing.T, e *badger.Engine, sid string) error {
	t.Helper()
	return e.Tickets().Create(t.Context(), session(sid))
}

func session(sid string) *ticketstore.Session {
	return &ticketstore.Session{
		Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "ann", Issuer: "https://op.example",
		AuthTime: now, Created: now,
		Renewed: now, Expires: now.Add(time.Hour),
	}
}

func openReadOnly(t *testing.T, settings badger.Settings) *badger.Engine {
	t.Helper()
	var e *badger.Engine
	// A process that another test starts has our files open until its exec.
	testenv.Eventually(t, "the folder is not in use", func() bool {
		var err error
		if e, err = badger.OpenReadOnly(t.Context(), settings, slog.New(slog.DiscardHandler)); err != nil &&
			!strings.Contains(err.Error(), "in use") {
			t.Fatal(err)
		}
		return err == nil
	})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

func TestReadOnlyOpenChangesNothing(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"plain": "", "encrypted": strings.Repeat("ab", 32)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := badger.Settings{Path: t.TempDir(), EncryptionKey: key}
			e, err := badger.Open(t.Context(), settings, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(create(t, e, "sid"), e.Close()); err != nil {
				t.Fatal(err)
			}
			before := names(t, settings.Path)
			for range 2 { // several read-only opens are possible
				e := openReadOnly(t, settings)
				if _, err := e.Tickets().Find(t.Context(), "sid"); err != nil {
					t.Errorf("find: %v", err)
				}
				if create(t, e, "another") == nil {
					t.Error("a session was created")
				}
				consistent(t, e)
			}
			if after := names(t, settings.Path); after != before {
				t.Errorf("the folder held %q before and %q after", before, after)
			}
			if _, err := badger.Open(t.Context(), settings, nil); err == nil || !strings.Contains(err.Error(),
				"in use") {
				t.Errorf("open beside a read-only open: %v", err)
			}
		})
	}
}

// The files of a killed process are like those of a running one.
func TestReadOnlyOpenAfterCrash(t *testing.T) {
	t.Parallel()
	path, crashed := t.TempDir(), filepath.Join(t.TempDir(), "crashed")
	e := open(t, path)
	if err := create(t, e, "sid"); err != nil {
		t.Fatal(err)
	}
	copyFolder(t, path, crashed)
	store := openReadOnly(t, badger.Settings{Path: crashed})
	if _, err := store.Tickets().Find(t.Context(), "sid"); err != nil {
		t.Errorf("find: %v", err)
	}
	if create(t, store, "another") == nil {
		t.Error("a session was created")
	}
	consistent(t, store)
}

// copyFolder copies files that are mostly zeros.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	for name := range strings.FieldsSeq(names(t, from)) {
		if info, err := os.Stat(filepath.Join(from, name)); err == nil && info.IsDir() {
			continue // the reserve
		}
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, to, name, strings.TrimRight(string(data), "\x00"))
		if err := os.Truncate(filepath.Join(to, name), int64(len(data))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadOnlyOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(t *testing.T, path string)
		says    string
	}{
		"a folder that is missing": {func(*testing.T, string) {}, "does not exist"},
		"an empty folder": {func(t *testing.T, path string) {
			writeFile(t, path, "x", "")
			os.Remove(filepath.Join(path, "x"))
		}, "is empty"},
		"a folder with other files": {
			func(t *testing.T, path string) { writeFile(t, path, "holiday.jpg", "x") }, "not a session store",
		},
		"a newer format": {
			func(t *testing.T, path string) {
				writeFile(t, path, "SESSIONS", "fosite-sessions badger format 99\n")
			}, "newer",
		},
		"a folder in use": {func(t *testing.T, path string) { open(t, path) }, "in use by another process"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store")
			c.prepare(t, path)
			before := names(t, path)
			_, err := badger.OpenReadOnly(t.Context(), badger.Settings{Path: path}, nil)
			if !errors.Is(err, ticketstore.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one with %q", err, c.says)
			}
			if after := names(t, path); after != before {
				t.Errorf("the folder held %q before and %q after", before, after)
			}
		})
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	settings := badger.Settings{Path: t.TempDir(), EncryptionKey: strings.Repeat("ab", 32)}
	e, err := badger.Open(t.Context(), settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(create(t, e, "sid"), create(t, e, "another"), e.Close()); err != nil {
		t.Fatal(err)
	}
	stats, err := openReadOnly(t, settings).Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if stats.Format != stats.Newest || !stats.Encrypted || stats.State != "active" ||
		stats.Records["sessions"] != 2 || stats.Records["grants"] != 0 ||
		stats.Bytes.Tables == 0 {
		t.Errorf("stats %+v", stats)
	}
}
