package testenv

// Folders with a quota, on Btrfs.

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Quota is a folder whose owner has a quota. The file system has more room than that, and reports it.
type Quota struct {
	// Path is the folder.
	Path string
}

// MountQuota creates a Btrfs file system of that many MiB with a folder that has a quota, in MiB. It is
// removed with its test.
func MountQuota(t testing.TB, mib, quota int) *Quota {
	t.Helper()
	need(t, "mkfs.btrfs", "btrfs", "mount", "umount")
	folder := t.TempDir()
	image, disk := filepath.Join(folder, "image"), filepath.Join(folder, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, int64(mib)<<20); err != nil {
		t.Fatal(err)
	}
	q := &Quota{Path: filepath.Join(disk, "limited")}
	for i, command := range [][]string{
		{"mkfs.btrfs", "-q", image},
		{"mount", "-o", "loop", image, disk},
		{"btrfs", "quota", "enable", disk},
		{"btrfs", "subvolume", "create", q.Path},
		{"btrfs", "qgroup", "limit", fmt.Sprintf("%dM", quota), q.Path},
	} {
		if _, err := run(command[0], command[1:]...); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			t.Cleanup(func() {
				if _, err := run("umount", "--lazy", disk); err != nil {
					t.Error(err)
				}
			})
		}
	}
	return q
}

// Lift removes the quota.
func (q *Quota) Lift(t testing.TB) {
	t.Helper()
	if _, err := run("btrfs", "qgroup", "limit", "none", q.Path); err != nil {
		t.Fatal(err)
	}
}
