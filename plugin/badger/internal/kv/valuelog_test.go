package kv

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
)

// The space of replaced values in the value log is freed; other values stay.
func TestValueLogCollection(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	options := dbOptions(path).WithLogger(nil).
		WithValueThreshold(1 << 10).WithValueLogFileSize(1 << 20).WithMemTableSize(1 << 20).
		WithNumLevelZeroTables(1)
	open := func() *badger.DB {
		db, err := folder.OpenReleased(options)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	value := func(round byte) []byte { return bytes.Repeat([]byte{round}, 8<<10) }
	files := func() int {
		names, _ := filepath.Glob(filepath.Join(path, "*.vlog"))
		return len(names)
	}
	const rows = 128
	db := open()
	defer func() { _ = db.Close() }()
	// Badger updates its discard statistics at a compaction, for rows below its read mark, which advances in
	// the background.
	var round byte
	for collected := 0; collected == 0; round++ {
		if round == 100 {
			t.Fatalf("none of %d files is collected", files())
		}
		for i := range rows {
			err := db.Update(func(txn *badger.Txn) error {
				return txn.Set(fmt.Appendf(nil, "row%d", i), value(round))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		// Closing writes a table; a compaction needs several to merge.
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open()
		if err := db.Flatten(1); err != nil {
			t.Fatal(err)
		}
		var err error
		before := files()
		if collected, err = collectValueLog(t.Context(),
			db); err != nil || (collected > 0 && files() >= before) {
			t.Fatalf("collected %d files, error %v; %d of %d are left", collected, err, files(), before)
		}
	}
	err := db.View(func(txn *badger.Txn) error {
		for i := range rows {
			item, err := txn.Get(fmt.Appendf(nil, "row%d", i))
			if err != nil {
				return err
			}
			got, err := item.ValueCopy(nil)
			if err != nil || !bytes.Equal(got, value(round-1)) {
				return fmt.Errorf("row %d: wrong value (error %w)", i, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// If the marker cannot be written, the database does not fail: the value log is collected later.
func TestMarkerWriteErrorDelaysCollection(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	d, err := Open(t.Context(), Config{Options: dbOptions(path), MinFree: 1 << 20,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if err := commit(t.Context(), d, func(tx *Tx) error {
		tx.Put(testKey(nil), nil)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	d.marking.Lock()
	d.marker.Values = map[uint64]int64{1: files.LogHeader} // the marker requires a file
	d.marking.Unlock()
	marker := filepath.Join(path, disk.MarkerFile)
	away := marker + " away"
	if err := errors.Join(os.Rename(marker, away), os.Mkdir(marker, 0o700)); err != nil {
		t.Fatal(err)
	}
	_, err = d.collectValues(t.Context())
	if err == nil || !strings.Contains(err.Error(), "write the marker") {
		t.Errorf("error %v, want one that the marker was not written", err)
	}
	if err := errors.Join(os.Remove(marker), os.Rename(away, marker)); err != nil {
		t.Fatal(err)
	}
	if err := d.Failure(); err != nil {
		t.Error(err)
	}
	d.marking.Lock()
	if len(d.marker.Values) != 1 {
		t.Error("the requirement of the marker on the disk is lost in memory")
	}
	d.marking.Unlock()
	if _, err := d.collectValues(t.Context()); err != nil {
		t.Error(err)
	}
}
