//go:build linux

package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

const (
	killsEnv = "TORTURE_KILLS" // how many faults; 7 when unset
	usersEnv = "TORTURE_USERS" // how many users side by side; 12 when unset
	swapsEnv = "TORTURE_SWAPS" // how many swaps; 4 when unset
	// diskEnv names a small disk that may be filled: set by the test itself, in a namespace of its own.
	diskEnv = "TORTURE_DISK"
	// epoch is after how many faults everything is audited and a new store begins.
	epoch    = 100
	diskSize = 3 << 29
)

var tortureTerms = terms{
	idle: 10 * time.Second, renewEvery: time.Second, slack: 2 * time.Second, stall: patience, late: 20 * time.Second,
}

func number(t *testing.T, name string, standard int) int {
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("%s=%q is not a positive number", name, text)
	}
	return n
}

// Host and plugin are killed at random points while many users, clients and operators work; the disk fills; plugins hang; stores are swapped
// meanwhile; relying parties answer slowly, wrongly or never. What everybody was told holds, whichever store served.
func TestTorture(t *testing.T) {
	t.Parallel()
	disk := os.Getenv(diskEnv)
	if disk == "" {
		disk = t.TempDir()
		if done := withSmallDisk(t, disk); done {
			return
		}
		t.Log("no small disk can be had here: the disk is not filled")
	} else {
		mountSmallDisk(t, disk)
	}
	var bad *testenv.Disk
	traces := testenv.Traces(t)
	if os.Getenv(diskEnv) != "" {
		if bad = badDisk(t, disk); bad != nil {
			disk = bad.Path
		}
	}
	kills, users := number(t, killsEnv, 7), number(t, usersEnv, 12)
	for from := 0; from < kills && !t.Failed(); from += epoch {
		c := trial{
			terms: tortureTerms, faults: min(epoch, kills-from), users: users, weights: []int{57, 17, 7, 7, 7, 19, 6}, fills: os.Getenv(diskEnv) != "",
			bad: bad, traces: traces,
		}
		c.epoch(t, disk)
		t.Logf("%d of %d faults", min(kills, from+epoch), kills)
	}
}

// withSmallDisk runs the test once more where it has a disk of its own, which goes when its last process does. It reports whether it could.
func withSmallDisk(t *testing.T, disk string) bool {
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTorture$", "-test.v", "-test.timeout=0")
	command.Env = append(os.Environ(), diskEnv+"="+disk)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if testing.Verbose() {
		command.Stdout, command.Stderr = os.Stderr, os.Stderr
	}
	err := command.Run()
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC) {
		return false
	}
	if err != nil {
		t.Errorf("%v\n%s", err, output.String())
	}
	return true
}

func mountSmallDisk(t *testing.T, disk string) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatalf("a mount namespace of its own: %v", err)
	}
	if err := syscall.Mount("torture", disk, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize)); err != nil {
		t.Fatalf("mounting a small disk: %v", err)
	}
}

// badDisk makes a disk in the memory of the small one that can turn read-only, nil where that is not allowed.
func badDisk(t *testing.T, disk string) *testenv.Disk {
	bad, err := testenv.MountIn(disk, diskSize>>20-64)
	switch {
	case err == nil:
		t.Cleanup(func() { _ = bad.Unmount() })
	case os.Getenv("CI") != "" && isRoot():
		t.Fatal(err)
	default:
		t.Logf("the file system is not turned read-only: %v", err)
	}
	return bad
}

// isRoot reports whether this is the system's root and not that of a namespace.
func isRoot() bool {
	uids, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(uids)), " ") == "0 0 4294967295"
}

// trial is what is done to host and plugin.
type trial struct {
	terms         terms
	faults, users int
	// weights of the kinds of faults: see torment.
	weights []int
	// fills: the disk is small and is filled now and then.
	fills bool
	// bad is the disk, where it can turn read-only.
	bad *testenv.Disk
	// traces: syncs of a process can be made to fail.
	traces bool
}

// epoch tortures the stores of one host and holds the history against the rules.
func (c *trial) epoch(t *testing.T, disk string) {
	data, err := os.MkdirTemp(disk, "store")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(data)
	w := newWorld(c.terms)
	folders := make([]string, c.faults+1) // each fault may be a swap to the next
	for i := range folders {
		folders[i] = filepath.Join(data, storeName(i))
	}
	v := newVictim(t, w.config(folders...))
	w.populate(v.base, "user", c.users)
	if err := v.start(); err != nil {
		t.Fatalf("%v\n%s", err, v.log.last(4<<10))
	}
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { w.each(func(u *user) { u.run(ctx) }) })
	m := &tormentor{t: t, w: w, v: v, disk: disk, trial: c}
	m.run()
	stop()
	working.Wait()
	said, _ := v.awaitPlugin()
	w.audit(t)
	v.end()
	w.close()
	m.inspect(said.Serving)
	t.Logf("%d times a sync has failed, %d times the file system has turned read-only", m.syncs, m.readOnly)
	if c.faults >= 3 && (c.fills && c.traces && m.syncs == 0 || c.bad != nil && m.readOnly == 0) {
		t.Error("the disk did not fail in each of its ways")
	}
	w.report(t, check(w.history.all(), w.terms))
	if trouble := v.log.trouble(); trouble != "" {
		t.Errorf("the processes' log says:\n%s", trouble)
	}
	if t.Failed() {
		t.Logf("the end of the processes' log:\n%s", v.log.last(8<<10))
	}
}
