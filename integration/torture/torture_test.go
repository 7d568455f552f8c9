//go:build linux

package torture

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

const (
	killsEnv = "TORTURE_KILLS" // number of faults; 7 if unset
	usersEnv = "TORTURE_USERS" // number of concurrent users; 12 if unset
	swapsEnv = "TORTURE_SWAPS" // number of swaps; 4 if unset
	// epoch is the number of faults after which all is audited and a new store is created.
	epoch    = 100
	diskSize = 3 << 29
)

var tortureTerms = terms{
	idle: 10 * time.Second, renewEvery: time.Second, slack: 2 * time.Second, stall: patience,
	late: 20 * time.Second,
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

// Host and plugin are killed at random points while many users, clients and operators work; the disk fills;
// plugins hang; stores are swapped; relying parties answer slowly, wrongly or never. Everything acknowledged
// to users and clients holds, whichever store served.
func TestTorture(t *testing.T) {
	t.Parallel()
	// The small disk may be filled, and is removed with the last process that uses it.
	small, err := testenv.InNamespace(t)
	if !small && err == nil {
		return
	}
	disk, traces := t.TempDir(), testenv.Traces(t)
	var bad *testenv.Disk
	if small {
		testenv.Tmpfs(t, disk, 0, fmt.Sprintf("size=%d,mode=0700", diskSize))
		if bad = badDisk(t, disk); bad != nil {
			disk = bad.Path
		}
	} else {
		t.Logf("no small disk is available, so disks are not filled: %v", err)
	}
	kills, users := number(t, killsEnv, 7), number(t, usersEnv, 12)
	for from := 0; from < kills && !t.Failed(); from += epoch {
		c := trial{
			terms: tortureTerms, faults: min(epoch, kills-from), users: users,
			weights: []int{50, 17, 7, 7, 10, 19, 6, hostHangs: 7, clockSteps: 7},
			fills:   small, bad: bad, traces: traces,
		}
		c.epoch(t, disk)
		t.Logf("%d of %d faults", min(kills, from+epoch), kills)
	}
}

// badDisk creates a disk that can turn read-only, in the memory of the small disk, or returns nil if that is
// not permitted.
func badDisk(t *testing.T, disk string) *testenv.Disk {
	bad, err := testenv.MountIn(disk, diskSize>>20-64)
	switch {
	case err == nil:
		t.Cleanup(func() { _ = bad.Unmount() })
	case os.Getenv("CI") != "" && isRoot():
		t.Fatal(err)
	default:
		t.Logf("file systems are not made read-only: %v", err)
	}
	return bad
}

// isRoot reports whether this process is the system's root, not that of a namespace.
func isRoot() bool {
	uids, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(uids)), " ") == "0 0 4294967295"
}

// trial is the configuration of the disturbances.
type trial struct {
	terms         terms
	faults, users int
	// weights of the kinds of faults: see torment.
	weights []int
	// fills: the disk is small and is filled occasionally.
	fills bool
	// bad is the disk, if it can turn read-only.
	bad *testenv.Disk
	// traces: syncs of processes can be made to fail.
	traces bool
}

// epoch disturbs one host and its stores, and checks the history against the rules.
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
	v := newVictim(t, w.history, w.config(folders...))
	w.populate("user", c.users, v.base)
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
	t.Logf("%d failed syncs, %d times the file system turned read-only", m.syncs, m.readOnly)
	if c.faults >= 3 && (c.fills && c.traces && m.syncs == 0 || c.bad != nil && m.readOnly == 0) {
		t.Error("the disk did not fail in each of its ways")
	}
	w.report(t, check(w.history.all(), w.terms))
	if trouble := v.log.trouble(); trouble != "" {
		t.Errorf("the processes' log has:\n%s", trouble)
	}
	if t.Failed() {
		t.Logf("the end of the processes' log:\n%s", v.log.last(8<<10))
	}
}
