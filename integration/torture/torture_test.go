//go:build linux

package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	killsEnv = "TORTURE_KILLS" // how many faults; 7 when unset
	usersEnv = "TORTURE_USERS" // how many users side by side; 12 when unset
	// diskEnv names a small disk that may be filled: set by the test itself, in a namespace of its own.
	diskEnv = "TORTURE_DISK"
	// epoch is after how many faults everything is audited and a new store begins.
	epoch    = 100
	diskSize = 600 << 20
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

// Host and plugin are killed at random points while many users, clients and operators work; the disk fills; plugins hang; relying parties
// answer slowly, wrongly or never. What everybody was told holds.
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
	kills, users := number(t, killsEnv, 7), number(t, usersEnv, 12)
	for from := 0; from < kills && !t.Failed(); from += epoch {
		runEpoch(t, disk, min(epoch, kills-from), users)
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

// runEpoch tortures one store and holds the history against the rules.
func runEpoch(t *testing.T, disk string, kills, users int) {
	data, err := os.MkdirTemp(disk, "store")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(data)
	w := newWorld(tortureTerms)
	v := newVictim(t, w.config(filepath.Join(data, "db")))
	w.populate(v.base, "user", users)
	if err := v.start(); err != nil {
		t.Fatalf("%v\n%s", err, v.log.last(4<<10))
	}
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { w.each(func(u *user) { u.run(ctx) }) })
	torment(t, w, v, disk, kills)
	stop()
	working.Wait()
	v.awaitPlugin()
	w.audit(t)
	v.end()
	w.close()
	w.report(t, check(w.history.all(), w.terms))
	if trouble := v.log.trouble(); trouble != "" {
		t.Errorf("the processes' log says:\n%s", trouble)
	}
	if t.Failed() {
		t.Logf("the end of the processes' log:\n%s", v.log.last(8<<10))
	}
}

// torment does the given number of things to host and plugin, with some progress between each two.
func torment(t *testing.T, w *world, v *victim, disk string, kills int) {
	full := rand.IntN(kills) // when the disk fills, and again each fifty
	for i := range kills {
		w.progress(t, 20)
		time.Sleep(rand.N(150 * time.Millisecond))
		if i%50 == full%50 && os.Getenv(diskEnv) != "" {
			if err := fill(disk, time.Second+rand.N(2*time.Second)); err != nil {
				t.Errorf("filling the disk: %v", err)
			}
			continue
		}
		switch choose(60, 18, 7, 7, 8) {
		case 0:
			kill(v.pluginPID(), syscall.SIGKILL)
		case 1:
			v.killHost(syscall.SIGKILL, false)
		case 2:
			v.killHost(syscall.SIGKILL, true)
		case 3:
			v.killHost(syscall.SIGTERM, false)
		case 4:
			pid := v.pluginPID()
			kill(pid, syscall.SIGSTOP)
			time.Sleep(rand.N(3500 * time.Millisecond))
			kill(pid, syscall.SIGCONT)
		}
	}
	w.progress(t, 50)
}

// progress waits until so many more calls were answered well.
func (w *world) progress(t *testing.T, n int) {
	from := w.history.good()
	for deadline := time.Now().Add(patience); w.history.good() < from+n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("no progress within %s", patience)
			return
		}
	}
}
