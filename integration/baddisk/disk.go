package baddisk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Disk is an ext4 file system on a loop device, mounted with errors=remount-ro as distributions do. It goes with its test.
type Disk struct {
	// Path is the folder where it is mounted.
	Path   string
	image  string
	device string
}

// Mount makes a disk of so many MiB.
func Mount(t testing.TB, mib int) *Disk {
	t.Helper()
	need(t, "mkfs.ext4", "e2fsck", "losetup", "mount", "umount")
	folder := t.TempDir()
	d := &Disk{Path: filepath.Join(folder, "disk"), image: filepath.Join(folder, "image")}
	image, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	err = image.Truncate(int64(mib) << 20)
	_ = image.Close()
	if err == nil {
		err = os.Mkdir(d.Path, 0o700)
	}
	if err == nil {
		_, err = run("mkfs.ext4", "-q", "-F", "-m", "0", d.image)
	}
	if err == nil {
		d.device, err = run("losetup", "--find", "--show", d.image)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = run("umount", "--lazy", d.Path)
		_, _ = run("losetup", "--detach", d.device)
	})
	if err := d.mount(); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *Disk) mount() error {
	_, err := run("mount", "-o", "errors=remount-ro", d.device, d.Path)
	return err
}

// Fail has the file system meet an error, upon which it turns read-only. What was not synced is lost.
func (d *Disk) Fail() error {
	return os.WriteFile(filepath.Join("/sys/fs/ext4", filepath.Base(d.device), "trigger_fs_error"), []byte("a test\n"), 0)
}

// Mend checks the file system and mounts it anew, as a start of the machine does. Nobody may have a file of it open.
func (d *Disk) Mend() error {
	if _, err := run("umount", d.Path); err != nil {
		return err
	}
	if _, err := run("e2fsck", "-f", "-y", d.device); err != nil && !strings.Contains(err.Error(), "exit status 1") { // 1: mended
		return err
	}
	return d.mount()
}

func run(name string, args ...string) (output string, err error) {
	out, err := exec.Command(name, args...).CombinedOutput() //nolint:noctx // tools of the system, on a test's own files
	output = strings.TrimSpace(string(out))
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, output)
	}
	return output, err
}
