//go:build linux

package badger_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

const powerEnv = "BADGER_POWER_PATH"

// TestWriteUntilPowerLoss is not a test: it is the process that loses power.
func TestWriteUntilPowerLoss(t *testing.T) {
	path := os.Getenv(powerEnv)
	if path == "" {
		t.Skip("a process of TestPowerLossOnEachFileSystem")
	}
	e, err := badger.Open(t.Context(), badger.Settings{Path: path, MinFreeMiB: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Each line of input is a number of sessions to create; 0 closes the store, -1 reopens it. Each is
	// acknowledged by a line.
	made := 0
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		var more int
		if _, err := fmt.Sscan(orders.Text(), &more); err != nil {
			t.Fatal(err)
		}
		for range more {
			if err := create(t, e, fmt.Sprint("sid", made)); err != nil {
				t.Fatal(err)
			}
			made++
		}
		switch more {
		case 0:
			err = e.Close()
		case -1:
			e, err = badger.Open(t.Context(), badger.Settings{Path: path, MinFreeMiB: 1}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("made", made)
	}
}

// After a power loss the store opens with every acknowledged session. The power is lost after the first
// session, under load, after a close, and after a start that has written nothing.
func TestPowerLossOnEachFileSystem(t *testing.T) {
	testenv.SkipRace(t, "the work is done by another process")
	t.Parallel()
	if os.Geteuid() != 0 && os.Getenv("CI") != "" {
		t.Fatal("needs root to mount file systems: CI runs as root")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount file systems")
	}
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := newPowerDisk(t, kind)
			command := testenv.Self(t, "TestWriteUntilPowerLoss",
				powerEnv+"="+filepath.Join(d.mounted, "store"))
			orders, err := command.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			child := testenv.Start(t, command)
			images := map[string]int{}
			for i, order := range []int{1, 500, 0, -1} {
				if _, err := fmt.Fprintln(orders, order); err != nil {
					t.Fatal(err)
				}
				said, _ := child.Said("made")
				made, err := strconv.Atoi(said)
				if err != nil {
					t.Fatalf("no number of sessions from the process: %v\n%s", err, &child.Log)
				}
				image := filepath.Join(t.TempDir(), fmt.Sprint("image", i))
				d.snapshot(t, image)
				images[image] = made
			}
			if err := errors.Join(orders.Close(), child.Wait()); err != nil {
				t.Error(err)
			}
			d.unmount(t)
			for image, made := range images {
				copied := &powerDisk{image: image, mounted: t.TempDir()}
				copied.mount(t)
				checkPowerLoss(t, filepath.Join(copied.mounted, "store"), made)
				copied.unmount(t)
			}
		})
	}
}

func checkPowerLoss(t *testing.T, path string, made int) {
	t.Helper()
	e, err := badger.Open(t.Context(), badger.Settings{Path: path, MinFreeMiB: 1},
		slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Errorf("with %d sessions: %v", made, err)
		return
	}
	for i := range made {
		if _, err := e.Tickets().Find(t.Context(), fmt.Sprint("sid", i)); err != nil {
			t.Errorf("session %d of %d: %v", i, made, err)
			break
		}
	}
	consistent(t, e)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// powerDisk is a file system in a file.
type powerDisk struct{ image, mounted string }

func newPowerDisk(t *testing.T, kind string) *powerDisk {
	t.Helper()
	tool, err := exec.LookPath("mkfs." + kind)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	d := &powerDisk{image: filepath.Join(t.TempDir(), "image"), mounted: t.TempDir()}
	file, err := os.Create(d.image)
	if err := errors.Join(err, file.Truncate(400<<20), file.Close()); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.CommandContext(t.Context(), tool, d.image).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	d.mount(t)
	return d
}

func (d *powerDisk) mount(t *testing.T) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "mount", "-o", "loop", d.image,
		d.mounted).CombinedOutput()
	if err != nil {
		t.Skipf("no file system of this kind can be mounted here: %v\n%s", err, output)
	}
	t.Cleanup(func() { _ = syscall.Unmount(d.mounted, syscall.MNT_DETACH) })
}

func (d *powerDisk) unmount(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "the file system is unmounted", func() bool {
		return syscall.Unmount(d.mounted, 0) == nil
	})
}

// snapshot copies the disk. Nothing was written between two equal copies.
func (d *powerDisk) snapshot(t *testing.T, to string) {
	t.Helper()
	second := to + ".again"
	testenv.Eventually(t, "the disk is idle", func() bool {
		for _, name := range []string{to, second} {
			if output, err := exec.CommandContext(t.Context(), "cp", "--sparse=always", d.image,
				name).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
		}
		return exec.CommandContext(t.Context(), "cmp", "--silent", to, second).Run() == nil
	})
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
}
