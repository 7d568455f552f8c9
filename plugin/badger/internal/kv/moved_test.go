package kv

// A folder that is moved, removed or replaced under an open database.

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A database fails when its folder is removed or replaced: later writes would be lost. Nothing is written to
// the new folder.
func TestFolderReplacedWhileOpen(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(path string) error
		left   bool // it was replaced
	}{
		"moved":   {change: func(path string) error { return os.Rename(path, path+" away") }},
		"removed": {change: os.RemoveAll},
		"emptied": {change: empty, left: true},
		"replaced": {change: func(path string) error {
			return errors.Join(os.Rename(path, path+" away"), os.Mkdir(path, 0o700))
		}, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "db")
			config := Config{
				Options: dbOptions(path), MinFree: 1 << 20, Logger: slog.New(slog.DiscardHandler),
			}
			d, err := Open(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			put(t, d, "kept")
			if err := test.change(path); err != nil {
				t.Fatal(err)
			}
			select {
			case <-d.Failed():
			case <-time.After(time.Minute):
				t.Fatal("the database has not failed")
			}
			err = commit(t.Context(), d, func(tx *Tx) error { tx.Put(testKey(nil), nil); return nil })
			if !errors.Is(err, ticketstore.ErrUnavailable) || !errors.Is(err, folder.ErrMoved) {
				t.Errorf("commit: %v, want an error that names the missing folder", err)
			}
			if err := d.Close(); !errors.Is(err, folder.ErrMoved) {
				t.Errorf("Close: %v, want an error that names the missing folder", err)
			}
			entries, err := os.ReadDir(path)
			if len(entries) > 0 || (err == nil) != test.left {
				t.Errorf("at the path of the folder: %v, error %v", entries, err)
			}
		})
	}
}

// empty removes the files of a folder. The file that identifies it is the first: while it exists, a marker
// may be written.
func empty(path string) error {
	if err := os.Remove(filepath.Join(path, folder.UnfinishedFile)); err != nil {
		return err
	}
	entries, err := os.ReadDir(path)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(path, entry.Name())))
	}
	return err
}
