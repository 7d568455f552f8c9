package badger

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// fillEnv makes the test binary a process that fills the store in that folder and closes it or is killed.
const fillEnv = "BADGER_WHOLE"

const fillKey = "abababababababababababababababab"

// storeKind is a kind of store whose files are damaged.
type storeKind struct {
	name      string
	encrypted bool
	// closed: the process closed the store. Otherwise it was killed.
	closed bool
	// logs is the number of logs when the process is killed: with more than one, flushing has stalled.
	logs int
}

var storeKinds = []storeKind{
	{name: "closed", closed: true},
	{name: "closed encrypted", closed: true, encrypted: true},
	{name: "killed", logs: 1},
	{name: "killed encrypted", logs: 1, encrypted: true},
	{name: "killed with several logs", logs: 3},
	{name: "killed with several logs encrypted", logs: 3, encrypted: true},
}

func (k storeKind) settings(path string) Settings {
	s := Settings{Path: path, MinFreeMiB: 1}
	if k.encrypted {
		s.EncryptionKey = fillKey
	}
	return s
}

// options make small files, so that there are several of each, and store large values in the value log.
func (k storeKind) options(t *testing.T, path string) badger.Options {
	t.Helper()
	settings := k.settings(path)
	encryption, err := settings.validate()
	if err != nil {
		t.Fatal(err)
	}
	o := databaseOptions(settings, encryption).
		WithMemTableSize(1 << 20).WithValueThreshold(8 << 10).WithValueLogFileSize(1 << 20)
	if k.logs > 1 {
		o = o.WithNumCompactors(0).WithNumLevelZeroTables(1).WithNumLevelZeroTablesStall(2)
	}
	return o
}

func filledSession(i int) *ticketstore.Session {
	sid, at := fmt.Sprintf("sid%04d", i), time.Date(2026, 3, 1, 12, 0, 0, i, time.UTC)
	return &ticketstore.Session{
		Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "ann", Issuer: "https://op.example",
		AuthTime: at, Created: at,
		Renewed: at, Expires: at.Add(time.Hour), Ticket: bytes.Repeat([]byte{byte(i)}, 1<<10+i%4*(4<<10)),
	}
}

// TestFillStoreUntilKilled is not a test: it is the process that fills a store.
func TestFillStoreUntilKilled(t *testing.T) {
	path, name := os.Getenv(fillEnv), os.Getenv(fillEnv+"_KIND")
	if path == "" {
		t.Skip("a process of TestIncompleteStore")
	}
	kind := storeKinds[slices.IndexFunc(storeKinds, func(k storeKind) bool { return k.name == name })]
	options := kind.options(t, path)
	e, err := open(t.Context(), kv.Config{Options: options, MinFree: 1 << 20,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for ; ; made++ {
		logs, _ := filepath.Glob(filepath.Join(path, "*.mem"))
		tables, _ := filepath.Glob(filepath.Join(path, "*.sst"))
		if made >= 250 && (kind.closed || len(tables) > 0 && len(logs) >= kind.logs && (kind.logs > 1 ||
			len(logs) == 1)) {
			break
		}
		if err := e.Tickets().Create(t.Context(), filledSession(made)); err != nil {
			t.Fatal(err)
		}
	}
	if kind.closed {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	} else {
		// The marker is updated with the logs.
		testenv.Eventually(t, "the marker is written", func() bool {
			return e.db.Mark() == nil
		})
	}
	fmt.Println("made", made)
	if !kind.closed {
		<-t.Context().Done()
		select {} // until killed
	}
}

// make creates a store and returns the number of its sessions.
func (k storeKind) make(t *testing.T, path string) (sessions int) {
	t.Helper()
	child := testenv.Start(t, testenv.Self(t, "TestFillStoreUntilKilled", fillEnv+"="+path,
		fillEnv+"_KIND="+k.name))
	made, said := child.Said("made")
	if !k.closed {
		child.Kill()
	}
	err := child.Wait()
	sessions, _ = strconv.Atoi(made)
	if !said || sessions == 0 || (k.closed && err != nil) {
		t.Fatalf("the store was not made: %v\n%s", err, &child.Log)
	}
	return sessions
}

// contents returns the names and checksums of a folder's files.
func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			continue // the reserve
		}
		data, err := os.ReadFile(filepath.Join(path, entry.Name()))
		info, infoErr := entry.Info()
		if err := errors.Join(err, infoErr); err != nil {
			t.Fatal(err)
		}
		all[entry.Name()] = fmt.Sprintf("%x %v %v", sha256.Sum256(data), info.Mode(), info.ModTime())
	}
	return all
}

func copyStore(t *testing.T, from, to string) {
	t.Helper()
	for name := range contents(t, from) {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// damages are the ways to damage a file.
var damages = map[string]func(file string, data []byte) error{
	"missing":  func(file string, _ []byte) error { return os.Remove(file) },
	"empty":    func(file string, _ []byte) error { return os.Truncate(file, 0) },
	"16 bytes": func(file string, data []byte) error { return os.Truncate(file, int64(min(len(data), 16))) },
	"half":     func(file string, data []byte) error { return os.Truncate(file, int64(len(data)/2)) },
	"zeros": func(file string, data []byte) error {
		return os.WriteFile(file, make([]byte, len(data)), 0o600)
	},
}

// filesToDamage returns all files in long tests. Otherwise it returns the oldest, the newest and one other
// log and table, or a random one of them if they are encrypted.
func (k storeKind) filesToDamage(names []string) (chosen []string) {
	if testenv.Long() {
		return names
	}
	kinds := map[string][]string{}
	for _, name := range names {
		ext := cmp.Or(filepath.Ext(name), name)
		kinds[ext] = append(kinds[ext], name)
	}
	for _, of := range kinds {
		switch n := len(of); {
		case k.encrypted:
			of = of[rand.N(n):][:1]
		case n > 3:
			of = []string{of[0], of[1+rand.N(n-2)], of[n-1]}
		}
		chosen = append(chosen, of...)
	}
	return slices.Sorted(slices.Values(chosen))
}

// One file of a store is removed, truncated or overwritten: the store opens with all sessions, or is refused
// unchanged with an error that says what to do. A read-only open changes nothing. A missing end of the newest
// log, as after a crash, is logged.
func TestIncompleteStore(t *testing.T) {
	testenv.SkipRace(t, "it opens stores one after another")
	t.Parallel()
	for _, kind := range storeKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			whole := t.TempDir()
			sessions := kind.make(t, whole)
			names := slices.Sorted(maps.Keys(contents(t, whole)))
			for _, ext := range []string{".sst", ".vlog"} {
				if slices.IndexFunc(names, func(name string) bool { return filepath.Ext(name) == ext }) < 0 {
					t.Fatalf("no %s in %q", ext, names)
				}
			}
			t.Log(names)
			for _, name := range append(kind.filesToDamage(names), "") {
				for damage, do := range damages {
					if name == "" && damage != "missing" { // the intact store
						continue
					}
					if damage == "16 bytes" && filepath.Ext(name) != "" || (name == "LOCK" ||
						name == "DISCARD") && kind.logs != 1 {
						continue // nothing new
					}
					path := t.TempDir()
					copyStore(t, whole, path)
					file := filepath.Join(path, name)
					if name != "" {
						data, err := os.ReadFile(file)
						if err == nil {
							err = do(file, data)
						}
						if err != nil {
							t.Fatal(err)
						}
					}
					kind.check(t, name+" "+damage, path, sessions,
						name == newestOf(names, filepath.Ext(name)))
					if err := os.RemoveAll(path); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// newestOf returns the newest log, or file of the value log.
func newestOf(names []string, ext string) (newest string) {
	for _, name := range names {
		if filepath.Ext(name) == ext && (ext == ".mem" || ext == ".vlog") {
			newest = name
		}
	}
	return newest
}

func (k storeKind) check(t *testing.T, damage, path string, sessions int, mayWarn bool) {
	t.Helper()
	before := contents(t, path)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	opens := func(how string, open func(context.Context, Settings, *slog.Logger) (*Engine, error)) bool {
		log.Reset()
		e, err := open(testenv.Patient(t), k.settings(path), logger)
		if err != nil {
			if !errors.Is(err, ticketstore.ErrInvalid) || !strings.Contains(err.Error(), "backup") {
				t.Errorf("%s: %s: %v, want an error that says what to do", damage, how, err)
			}
			return false
		}
		found := 0
		for i := range sessions {
			want := filledSession(i)
			got, err := e.Tickets().Get(t.Context(), want.Key)
			if err == nil && bytes.Equal(got.Ticket, want.Ticket) {
				found++
			}
		}
		if warned := strings.Contains(log.String(), "ends_at"); found < sessions && (!mayWarn || !warned) {
			t.Errorf("%s: %s: %d of %d sessions; log %s", damage, how, found, sessions, log.String())
		}
		if err := e.Close(); err != nil {
			t.Errorf("%s: %s: close: %v", damage, how, err)
		}
		return true
	}
	looked := opens("look", OpenReadOnly)
	if after := contents(t, path); !maps.Equal(before, after) {
		t.Errorf("%s: the read-only open changed the folder from %v to %v", damage, before, after)
	}
	opened := opens("open", Open)
	if after := contents(t, path); !opened && !maps.Equal(before, after) {
		t.Errorf("%s: the refused open changed the folder from %v to %v", damage, before, after)
	}
	if looked != opened {
		t.Errorf("%s: opened read-only %t, opened %t", damage, looked, opened)
	}
}
