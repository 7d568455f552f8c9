//go:build unix

package smallfile_test

// Who may access a file with a secret.

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

// Other users may not access a secret; its group may, which is reported.
func TestReadSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	for _, c := range []struct {
		mode           fs.FileMode
		refused, group bool
	}{
		{mode: 0o600}, {mode: 0o400}, {mode: 0o640, group: true}, {mode: 0o440, group: true},
		{mode: 0o644, refused: true}, {mode: 0o604, refused: true}, {mode: 0o602, refused: true},
	} {
		if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		content, group, err := smallfile.ReadSecret(path)
		switch {
		case c.refused && (err == nil || !strings.Contains(err.Error(), path+" has mode ") ||
			strings.Contains(err.Error(), "content")):
			t.Errorf("mode %04o: %v, want an error that names the file", c.mode, err)
		case !c.refused && (err != nil || string(content) != "content" || group != c.group):
			t.Errorf("mode %04o: %q, group %t, %v", c.mode, content, group, err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, 1<<20+1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := smallfile.ReadSecret(path); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("a large file: %v", err)
	}
	if _, _, err := smallfile.ReadSecret(path + "-none"); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}
