package badger

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// The marker identifies a store and records whether a process has it open; lines of newer programs are kept.
func TestMarker(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	file := filepath.Join(path, disk.MarkerFile)
	var id string
	for _, before := range []string{"", "fosite-sessions badger format 1\n",
		"fosite-sessions badger format 2\nnew thing\nend\n"} {
		if before != "" {
			if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		e, err := Open(t.Context(), Settings{Path: path}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		opened, err := folder.ReadMarker(path)
		if err != nil || opened.State != folder.StateOpen || opened.Store != e.db.ID() ||
			opened.Format != layout.Version || opened.MemoryTable != e.db.Badger().Opts().MemTableSize {
			t.Errorf("marker of an open store: %+v, error %v", opened, err)
		}
		if id != "" && e.db.ID() != id {
			t.Errorf("store id %s, was %s", e.db.ID(), id)
		}
		id = e.db.ID()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		closed, err := folder.ReadMarker(path)
		if err != nil || closed.State != folder.StateClosed || closed.Store != id {
			t.Errorf("marker of a closed store: %+v, error %v", closed, err)
		}
		if kept := strings.Contains(closed.String(), "new thing\n"); kept != strings.Contains(before,
			"new thing") {
			t.Errorf("marker %q after %q", closed, before)
		}
	}
}
