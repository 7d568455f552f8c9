package badger

// Refused opens change nothing.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// refusedUnchanged opens a store, also read-only, which must be refused with a message and change nothing.
func refusedUnchanged(t *testing.T, settings Settings, says string) {
	t.Helper()
	before, mode := contents(t, settings.Path), modeOfFolder(t, settings.Path)
	for how, open := range openings {
		e, err := open(t.Context(), settings, slog.New(slog.DiscardHandler))
		if err == nil {
			_ = e.Close()
		}
		if !errors.Is(err, ticketstore.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want an error with %q", how, err, says)
		}
		if after := contents(t, settings.Path); !maps.Equal(before, after) {
			t.Errorf("%s: changed the folder from %v to %v", how, before, after)
		}
		if after := modeOfFolder(t, settings.Path); after != mode {
			t.Errorf("%s: changed the mode of the folder from %v to %v", how, mode, after)
		}
	}
}

var openings = map[string]func(context.Context, Settings, *slog.Logger) (*Engine, error){
	"open": Open, "look": OpenReadOnly,
}

// nameMissingTable adds a missing table to a manifest, as if the table was not synced.
func nameMissingTable(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(path, files.ManifestFile), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Write(manifestSet(t, &pb.ManifestChange{Id: 1 << 20, Op: pb.ManifestChange_CREATE}))
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

func modeOfFolder(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// With the marker of a different store, as after a wrong restore, the store is refused; with its own marker
// it opens without loss.
func TestMarkerOfAnotherStore(t *testing.T) {
	testenv.SkipRace(t, "it opens stores one after another")
	t.Parallel()
	other := t.TempDir()
	storeKinds[0].make(t, other)
	strange, err := os.ReadFile(filepath.Join(other, disk.MarkerFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range storeKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir()
			sessions := kind.make(t, path)
			file := filepath.Join(path, disk.MarkerFile)
			own, err := os.ReadFile(file)
			if err == nil {
				err = errors.Join(os.WriteFile(file, strange, 0o600), os.Chmod(path, 0o750))
			}
			if err != nil {
				t.Fatal(err)
			}
			refusedUnchanged(t, kind.settings(path), "another one")
			if err := os.WriteFile(file, own, 0o600); err != nil {
				t.Fatal(err)
			}
			kind.check(t, "its own marker", path, sessions, false)
		})
	}
}

// A refused store keeps what the next start needs: the note of an unfinished manifest, and hidden logs.
func TestRefusedOpenChangesNothing(t *testing.T) {
	testenv.SkipRace(t, "it opens stores one after another")
	t.Parallel()
	kind, path := storeKinds[5], t.TempDir()
	sessions := kind.make(t, path)
	logs, err := files.Names(path, files.LogExt)
	if err == nil {
		last := filepath.Join(path, logs[len(logs)-1])
		err = errors.Join(os.Rename(last, last+files.PutOff), os.Chmod(path, 0o750),
			os.WriteFile(filepath.Join(path, folder.UnfinishedFile), []byte{'!'}, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	settings := kind.settings(path)
	settings.EncryptionKey = strings.Repeat("cd", 16)
	refusedUnchanged(t, settings, "encryption_key")
	kind.check(t, "the right key", path, sessions, false)
	if unfinished, err := folderUnfinished(path); err != nil || unfinished {
		t.Errorf("the manifest is unfinished after a start: %t, %v", unfinished, err)
	}
}

// A read-only open ignores the unfinished compaction of a killed process, like a start.
func TestReadOnlyOpenWithUnfinishedManifest(t *testing.T) {
	testenv.SkipRace(t, "it opens stores one after another")
	t.Parallel()
	for _, kind := range []storeKind{storeKinds[0], storeKinds[2]} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir()
			sessions := kind.make(t, path)
			nameMissingTable(t, path)
			refusedUnchanged(t, kind.settings(path), "is missing")
			if err := os.WriteFile(filepath.Join(path, folder.UnfinishedFile), []byte{'!'},
				0o600); err != nil {
				t.Fatal(err)
			}
			findings, err := CheckFiles(t.Context(), kind.settings(path))
			if err != nil || len(findings) > 0 {
				t.Errorf("check of the files: %v, %v", findings, err)
			}
			kind.check(t, "unfinished", path, sessions, false)
		})
	}
}

// A store of a killed process opens without TMPDIR, also without a marker. A read-only open needs TMPDIR.
func TestKilledStoreWithoutTMPDIR(t *testing.T) {
	kind, path := storeKinds[2], t.TempDir()
	sessions := kind.make(t, path)
	if err := os.Truncate(filepath.Join(path, disk.MarkerFile), 0); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	if store, err := OpenReadOnly(t.Context(), kind.settings(path),
		nil); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("read-only: %v, %v, want an error that names TMPDIR", store, err)
	}
	e, err := Open(t.Context(), kind.settings(path), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sessions {
		if _, err := e.Tickets().Get(t.Context(), filledSession(i).Key); err != nil {
			t.Errorf("session %d: %v", i, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// A start killed before it has changed anything: its new log is empty, and the next start, killed as well,
// has removed it. The marker no longer requires it.
func TestKilledStartsLeaveAStoreThatOpens(t *testing.T) {
	testenv.SkipRace(t, "it opens stores one after another")
	t.Parallel()
	for _, kind := range []storeKind{storeKinds[2], storeKinds[3]} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir()
			sessions := kind.make(t, path)
			m, err := folder.ReadMarker(path)
			if err != nil {
				t.Fatal(err)
			}
			old := filepath.Join(path, files.LogName(m.Log))
			begun := filepath.Join(path, files.LogName(m.Log+1))
			data, err := os.ReadFile(old)
			if err != nil {
				t.Fatal(err)
			}
			m.Log++
			header := append(data[:files.LogHeader:files.LogHeader], make([]byte, 1<<10)...)
			if err := errors.Join(os.WriteFile(begun, header, 0o600), m.Write(path)); err != nil {
				t.Fatal(err)
			}
			// The next start is killed while it flushes the first logs.
			options := kind.options(t, path)
			m, err = folder.Take(t.Context(), options, slog.New(slog.DiscardHandler))
			if err == nil {
				err = folder.SettleLogs(m, options.WithLogger(nil), func() error { return nil })
			}
			if err == nil {
				err = errors.Join(os.RemoveAll(begun), os.WriteFile(old, data, 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			kind.check(t, "after two killed starts", path, sessions, false)
		})
	}
}

// A check names a table with an overwritten block, also the block with the store's id.
func TestCheckOfDamagedBlocks(t *testing.T) {
	testenv.SkipRace(t, "it opens stores one after another")
	t.Parallel()
	kind, path := storeKinds[0], t.TempDir()
	kind.make(t, path)
	tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	for _, table := range tables {
		data, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		const step = 1 << 10 // shorter than a block
		for at := 0; at < len(data)*3/4; at += step {
			damaged := bytes.Clone(data)
			for i := range 16 {
				damaged[at+i] ^= 0xff
			}
			if err := os.WriteFile(table, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			findings, err := CheckFiles(t.Context(), kind.settings(path))
			if err != nil || len(findings) != 1 {
				t.Fatalf("%s damaged at byte %d: findings %v, error %v", filepath.Base(table), at, findings,
					err)
			}
		}
		if err := os.WriteFile(table, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// manifestSet encodes a set of changes of the manifest.
func manifestSet(t *testing.T, changes ...*pb.ManifestChange) []byte {
	t.Helper()
	body, err := proto.Marshal(&pb.ManifestChangeSet{Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	raw := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	raw = binary.BigEndian.AppendUint32(raw, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return append(raw, body...)
}

// folderUnfinished reports whether a store is marked as having unfinished tables.
func folderUnfinished(path string) (bool, error) {
	note, err := os.ReadFile(filepath.Join(path, folder.UnfinishedFile))
	return err == nil && note[0] == '!', err
}
