package badger

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The marker says what a store is and whether a process has it open; what a newer program has added stays.
func TestMarkerFollowsTheStore(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	file := filepath.Join(path, markerFile)
	var id string
	for _, before := range []string{"", "fosite-sessions badger format 1\n", "fosite-sessions badger format 2\nnew thing\nend\n"} {
		if before != "" {
			if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		e, err := Open(t.Context(), Settings{Path: path}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		opened, err := readMarker(path)
		if err != nil || opened.state != stateOpen || opened.store != e.id || opened.format != formatVersion || opened.memoryTable != e.db.Opts().MemTableSize {
			t.Errorf("marker of an open store: %+v, error %v", opened, err)
		}
		if id != "" && e.id != id {
			t.Errorf("store id %s, was %s", e.id, id)
		}
		id = e.id
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		closed, err := readMarker(path)
		if err != nil || closed.state != stateClosed || closed.store != id {
			t.Errorf("marker of a closed store: %+v, error %v", closed, err)
		}
		if kept := strings.Contains(closed.String(), "new thing\n"); kept != strings.Contains(before, "new thing") {
			t.Errorf("marker %q after %q", closed, before)
		}
	}
}

func TestParseMarker(t *testing.T) {
	t.Parallel()
	whole := (&marker{format: 2, store: "ID", state: stateOpen, memoryTable: 64, others: []string{"a b", "c"}}).String()
	m, err := parseMarker(whole)
	if err != nil || m.String() != whole || m.memoryTable != 64 || len(m.others) != 2 {
		t.Fatalf("parsed %+v, error %v", m, err)
	}
	first := strings.Index(whole, "\n") + 1
	for n := range len(whole) {
		// The first line alone was all that older programs wrote.
		if _, err := parseMarker(whole[:n]); n != first && n != first-1 && !errors.Is(err, errMarkerDamaged) {
			t.Errorf("cut to %q: error %v", whole[:n], err)
		}
	}
	if _, err := parseMarker(string(make([]byte, len(whole)))); !errors.Is(err, errMarkerDamaged) {
		t.Errorf("zeros: error %v", err)
	}
}
