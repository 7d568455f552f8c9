package folder_test

// The lock of the note: an open waits until the previous process has released the folder.

import (
	"path/filepath"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
)

func TestOpenNoteIsLocked(t *testing.T) {
	path := t.TempDir()
	var note folder.Note
	if err := note.Open(path); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path, folder.UnfinishedFile)
	if unlock, err := disk.Lock(file, false); err == nil {
		t.Errorf("an open note is not locked: %v", unlock())
	} else if !disk.IsLocked(err) {
		t.Error(err)
	}
	if err := note.Close(); err != nil {
		t.Fatal(err)
	}
	unlock, err := disk.Share(file) // a child that was just started may have it open until its exec
	if err != nil {
		t.Fatalf("a closed note: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}
