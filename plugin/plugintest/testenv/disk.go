package testenv

// Small disks: ext4 on loop devices.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Disk is an ext4 file system on a loop device, mounted with errors=remount-ro like by distributions.
type Disk struct {
	// Path is its mount point.
	Path  string
	image string
}

// Mount creates a disk of that many MiB, which is removed with its test.
func Mount(t testing.TB, mib int) *Disk {
	t.Helper()
	need(t, "mkfs.ext4", "e2fsck", "findmnt", "mount", "umount")
	d, err := MountIn(t.TempDir(), mib)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// MountIn creates a disk of that many MiB in a folder, which also holds its image. An error means that this
// machine does not allow it.
func MountIn(folder string, mib int) (*Disk, error) {
	d := &Disk{Path: filepath.Join(folder, "disk"), image: filepath.Join(folder, "image")}
	image, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	err = errors.Join(image.Truncate(int64(mib)<<20), image.Close(), os.Mkdir(d.Path, 0o700))
	if err != nil {
		return nil, err
	}
	if _, err := run("mkfs.ext4", "-q", "-F", "-m", "0", d.image); err != nil {
		return nil, err
	}
	return d, d.mount()
}

// mount creates the loop device with the mount, so that both end together even if the test is killed. Blocks
// freed on the disk are freed in the image.
func (d *Disk) mount() error {
	_, err := run("mount", "-o", "loop,discard,errors=remount-ro", d.image, d.Path)
	return err
}

// Unmount unmounts the disk, even if a process has a file open on it.
func (d *Disk) Unmount() error {
	_, err := run("umount", "--lazy", d.Path)
	return err
}

// Fail makes the file system meet an error, which turns it read-only. What was not synced is lost.
func (d *Disk) Fail() error {
	device, err := run("findmnt", "--noheadings", "--output", "SOURCE", d.Path)
	if err != nil {
		return err
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(device), "trigger_fs_error")
	return os.WriteFile(trigger, []byte("a test\n"), 0)
}

// Mend checks the file system and mounts it again, like a restart of the machine. It returns an error if a
// process has a file open on it, or if a mount namespace of another test has it mounted, which would bring
// back the failed file system; then Mend may be called again.
func (d *Disk) Mend() error {
	if _, err := run("findmnt", d.Path); err == nil {
		if _, err := run("umount", d.Path); err != nil {
			return err
		}
	}
	if device, err := run("losetup", "--associated", d.image); err != nil || device != "" {
		return errors.Join(err, fmt.Errorf("%s is still in use: %s", d.image, device))
	}
	return errors.Join(check(d.image), d.mount())
}

// check repairs a file system if necessary.
func check(image string) error {
	_, err := run("e2fsck", "-f", "-y", image)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 { // repaired
		return nil
	}
	return err
}

// AfterPowerLoss creates a second disk, in an empty folder, from the current contents of this one: what was
// not synced may be missing.
func (d *Disk) AfterPowerLoss(folder string) (*Disk, error) {
	lost := &Disk{Path: filepath.Join(folder, "disk"), image: filepath.Join(folder, "image")}
	if err := errors.Join(copyFile(d.image, lost.image), os.Mkdir(lost.Path, 0o700)); err != nil {
		return nil, err
	}
	return lost, errors.Join(check(lost.image), lost.mount())
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

func run(name string, args ...string) (output string, err error) {
	//nolint:noctx // tools of the system, on a test's own files
	out, err := exec.Command(name, args...).CombinedOutput()
	output = strings.TrimSpace(string(out))
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, output)
	}
	return output, err
}
