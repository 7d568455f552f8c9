package badger_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestParseSettingsNamesTheBadField(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ json, field string }{
		"unknown field":            {`{"path":"/x","pfad":1}`, "pfad"},
		"wrong type":               {`{"path":"/x","sync":"yes"}`, "sync"},
		"no path":                  {`{}`, "path"},
		"bad encryption key":       {`{"path":"/x","encryption_key":"zz"}`, "encryption_key"},
		"short encryption":         {`{"path":"/x","encryption_key":"00ff"}`, "encryption_key"},
		"cache out of bounds":      {`{"path":"/x","cache_mib":-1}`, "cache_mib"},
		"free space out of bounds": {`{"path":"/x","min_free_mib":-1}`, "min_free_mib"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := badger.ParseSettings([]byte(c.json))
			var field *ticketstore.FieldError
			if !errors.As(err, &field) || field.Field != c.field {
				t.Fatalf("error %v, want one that names %s", err, c.field)
			}
		})
	}
	for name, text := range map[string]string{"not JSON": "path=/x", "two values": `{"path":"/x"}{}`} {
		if _, err := badger.ParseSettings([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSettingsNeverPrintTheEncryptionKey(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("ab", 32)
	s := badger.Settings{Path: "/x", EncryptionKey: key}
	for _, printed := range []string{s.String(), s.GoString()} {
		if strings.Contains(printed, key) {
			t.Errorf("printed settings show the encryption key: %s", printed)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	encrypted := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		prepare  func(t *testing.T, path string)
		settings badger.Settings
		field    string
		says     string
	}{
		"a folder with other files": {
			prepare: func(t *testing.T, path string) { writeFile(t, path, "holiday.jpg", "x") },
			field:   "path", says: "not a session store",
		},
		"a newer format": {
			prepare: func(t *testing.T, path string) {
				writeFile(t, path, "SESSIONS", "fosite-sessions badger format 99\n")
			},
			field: "path", says: "newer",
		},
		"an unknown format": {
			prepare: func(t *testing.T, path string) {
				writeFile(t, path, "SESSIONS", "fosite-sessions badger format 0\n")
			},
			field: "path", says: "marker",
		},
		"a damaged marker": {
			prepare: func(t *testing.T, path string) { writeFile(t, path, "SESSIONS", "?") },
			field:   "path", says: "marker",
		},
		"a file": {
			prepare: func(t *testing.T, path string) {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			},
			field: "path", says: "folder",
		},
		"a folder in use": {
			prepare: func(t *testing.T, path string) { open(t, path) },
			field:   "path", says: "in use",
		},
		"a wrong encryption key": {
			prepare: func(t *testing.T, path string) {
				e, err := badger.Open(t.Context(), badger.Settings{Path: path, EncryptionKey: encrypted}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			},
			settings: badger.Settings{EncryptionKey: strings.Repeat("cd", 32)},
			field:    "encryption_key", says: "not the one",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store")
			c.prepare(t, path)
			before := names(t, path)
			c.settings.Path = path
			ctx := t.Context()
			if c.says != "in use" {
				ctx = testenv.Patient(t)
			}
			e, err := badger.Open(ctx, c.settings, slog.New(slog.DiscardHandler))
			if err == nil {
				_ = e.Close()
			}
			var field *ticketstore.FieldError
			if !errors.As(err, &field) || field.Field != c.field || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want one with %s and %q", err, c.field, c.says)
			}
			if after := names(t, path); after != before {
				t.Errorf("the folder held %q before and %q after", before, after)
			}
		})
	}
}

func writeFile(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, folder string) string {
	t.Helper()
	entries, _ := os.ReadDir(folder)
	all := make([]string, 0, len(entries))
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// The access to an existing folder is restricted before anything is written to it.
func TestFolderIsKeptPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, error %v, want 0700", info.Mode().Perm(), err)
	}
}

// A folder left by a crash of the first start is accepted.
func TestFolderAfterCrashedFirstStart(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	writeFile(t, path, "SESSIONS.new", "")
	open(t, path)
}

// A store with an unexpected id is refused unchanged.
func TestOpenOfAnotherStoreChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store")
	open := func(wanted ...string) (id string, err error) {
		e, err := badger.Open(ticketstore.WithStoreIDs(testenv.Patient(t), wanted...),
			badger.Settings{Path: path}, nil)
		if err != nil {
			return "", err
		}
		description, err := e.Describe(t.Context())
		return description.StoreID, errors.Join(err, e.Close())
	}
	refused := func(found string) {
		t.Helper()
		_, err := open("a", "b")
		var other *ticketstore.OtherStoreError
		if !errors.As(err, &other) || other.Found != found || other.Place != path || len(other.Wanted) != 2 {
			t.Errorf("got %v, want ErrOtherStore with the id %q", err, found)
		}
	}
	refused("")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: got error %v, want it not created", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	refused("")
	if entries, err := os.ReadDir(path); len(entries) > 0 || err != nil {
		t.Errorf("the folder has %v, error %v, want it empty", entries, err)
	}
	id, err := open()
	if err != nil || id == "" {
		t.Fatalf("got id %q, error %v", id, err)
	}
	refused(id)
	if again, err := open(id); again != id || err != nil {
		t.Errorf("got id %q, error %v, want %q", again, err, id)
	}
}

// Open waits for another process to close the database until the context's deadline, and then names that
// process.
func TestOpenWaitsForTheFolder(t *testing.T) {
	t.Parallel()
	settings := badger.Settings{Path: t.TempDir()}
	first, err := badger.Open(t.Context(), settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	says := fmt.Sprintf("%s is in use by another process, process %d: a badger store", settings.Path,
		os.Getpid())
	refused := func(ctx context.Context) {
		t.Helper()
		second, err := badger.Open(ctx, settings, nil)
		if err == nil {
			_ = second.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
	refused(t.Context()) // immediately, without a deadline
	const patience = 5 * time.Second
	brief, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	refused(brief)
	if waited := time.Since(began); waited < patience/2 || brief.Err() != nil {
		t.Errorf("waited %s, want most of %s and an error before its end", waited, patience)
	}

	log := &waiting{began: make(chan struct{})}
	long, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	opened := make(chan error, 1)
	go func() {
		second, err := badger.Open(long, settings, slog.New(log))
		if err == nil {
			err = second.Close()
		}
		opened <- err
	}()
	<-log.began
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("after it was closed: %v", err)
	}
}

// waiting is a log handler that detects the wait.
type waiting struct {
	slog.Handler
	once  sync.Once
	began chan struct{}
}

func (w *waiting) Enabled(context.Context, slog.Level) bool { return true }

func (w *waiting) Handle(_ context.Context, record slog.Record) error {
	if strings.Contains(record.Message, "waiting") {
		w.once.Do(func() { close(w.began) })
	}
	return nil
}
