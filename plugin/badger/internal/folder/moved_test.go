package folder

// An open folder that was replaced at its path.

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestInPlace(t *testing.T) {
	t.Parallel()
	var infos [2]os.FileInfo
	for i := range infos {
		folder := t.TempDir()
		err := os.WriteFile(filepath.Join(folder, UnfinishedFile), nil, 0o600)
		if err == nil {
			infos[i], err = os.Stat(filepath.Join(folder, UnfinishedFile))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		found os.FileInfo
		err   error
		want  error
	}{
		"itself":             {found: infos[0]},
		"another folder":     {found: infos[1], want: ErrMoved},
		"nothing":            {err: fs.ErrNotExist, want: ErrMoved},
		"a file in its path": {err: syscall.ENOTDIR, want: ErrMoved},
		"a replaced mount":   {err: syscall.ESTALE, want: ErrMoved},
		"a failing disk":     {err: syscall.EIO, want: syscall.EIO},
	} {
		if err := inPlace(infos[0], c.found, c.err); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
