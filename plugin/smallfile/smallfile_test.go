package smallfile_test

// Tests of atomic writes, drafts and locks.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

func names(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]string, 0, len(entries))
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return strings.Join(all, " ")
}

func TestWriteReplacesTheFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "token")
	for _, c := range []struct {
		content string
		mode    fs.FileMode
	}{{"first", 0o600}, {"second, and longer", 0o660}, {"", 0o400}, {"last", 0o600}} {
		if err := smallfile.Write(path, []byte(c.content), c.mode); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err := errors.Join(err, statErr); err != nil || string(content) != c.content ||
			info.Mode().Perm() != c.mode {
			t.Errorf("%q with mode %v, error %v, want %q with %v", content, info.Mode(), err, c.content,
				c.mode)
		}
	}
	if left := names(t, folder); left != "token" {
		t.Errorf("the folder holds %q", left)
	}
}

// A failed write changes no file and leaves no draft.
func TestWriteThatFails(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "token")
	if err := smallfile.Write(path, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	errBroken := errors.New("broken")
	err := smallfile.WriteFrom(path, 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("half", 1<<20))
		return errors.Join(err, errBroken)
	})
	if !errors.Is(err, errBroken) {
		t.Errorf("error %v, want the writer's", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "kept" {
		t.Errorf("content %q, error %v", content, err)
	}
	if err := smallfile.Write(folder, []byte("x"), 0o600); err == nil {
		t.Error("a folder was replaced, want an error")
	}
	if err := smallfile.Write(filepath.Join(folder, "missing", "token"), []byte("x"), 0o600); !errors.Is(err,
		fs.ErrNotExist) {
		t.Errorf("in a missing folder: %v", err)
	}
	if left := names(t, folder); left != "token" {
		t.Errorf("the folder holds %q", left)
	}
}

// Drafts left by a crash are removed by the next write of the same file. Drafts of other files, and similar
// names, stay.
func TestDraftsOfACrashAreRemoved(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, name := range []string{
		".token.123.draft", ".token.456.draft", ".other.1.draft", "token.1.draft", ".token.new",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := smallfile.Write(filepath.Join(folder, "token"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if left := names(t, folder); left != ".other.1.draft .token.new token token.1.draft" {
		t.Errorf("the folder holds %q", left)
	}
	if !smallfile.IsDraft(".other.1.draft") || smallfile.IsDraft("token.1.draft") ||
		smallfile.IsDraft(".token.new") {
		t.Error("IsDraft is wrong")
	}
}

// Concurrent writers of a file do not remove each other's drafts: the file is that of the last writer.
func TestWritersOfTheSameFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "token")
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			text := strings.Repeat(fmt.Sprint(i), 100_000)
			if err := smallfile.Write(path, []byte(text), 0o600); err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	group.Wait()
	content, err := os.ReadFile(path)
	if err != nil || len(content) != 100_000 || strings.Trim(string(content), string(content[:1])) != "" {
		t.Errorf("%d bytes of several writers, error %v", len(content), err)
	}
	if left := names(t, folder); left != "token" {
		t.Errorf("the folder holds %q", left)
	}
}
