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

// A database whose folder is gone has failed: later acknowledged writes would be unreachable. Nothing is
// written to a folder that replaces it.
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
				t.Fatal("the database goes on without its folder")
			}
			err = commit(t.Context(), d, func(tx *Tx) error { tx.Put(testKey(nil), nil); return nil })
			if !errors.Is(err, ticketstore.ErrUnavailable) || !errors.Is(err, folder.ErrMoved) {
				t.Errorf("want the commit refused as the folder is gone, got %v", err)
			}
			if err := d.Close(); !errors.Is(err, folder.ErrMoved) {
				t.Errorf("want Close to say that the folder is gone, got %v", err)
			}
			entries, err := os.ReadDir(path)
			if len(entries) > 0 || (err == nil) != test.left {
				t.Errorf("where the folder was there are %v, error %v", entries, err)
			}
		})
	}
}

// empty removes the contents of a folder, beginning with the file that identifies it: while that exists, a
// marker may be written.
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
