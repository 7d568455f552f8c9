//go:build linux

package testenv

// File systems that run out of inodes.

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// FewInodes mounts a file system in memory with that many inodes, and returns its folder. See Tmpfs for the
// requirements.
func FewInodes(t testing.TB, inodes int) (folder string) {
	t.Helper()
	folder = t.TempDir()
	Tmpfs(t, folder, 0, fmt.Sprintf("size=1g,nr_inodes=%d", inodes))
	return folder
}

// UseInodes creates files on a file system, in a folder that it returns, until at most left more can be
// created.
func UseInodes(t testing.TB, mount string, left uint64) (folder string) {
	t.Helper()
	folder = filepath.Join(mount, "others")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		var status syscall.Statfs_t
		if err := syscall.Statfs(mount, &status); err != nil {
			t.Fatal(err)
		}
		if status.Ffree <= left {
			return folder
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
