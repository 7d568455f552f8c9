package main

// Control groups that limit processes to a share of a core.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// cgroup is a control group. A nil cgroup imposes no limit.
type cgroup struct{ path string }

// newCgroup creates a control group of version 2, or of version 1 if that controls the CPU. It requires root.
func newCgroup(cores float64) (g *cgroup, err error) {
	const period = 100_000 // µs, the kernel's default
	quota := int(cores * period)
	parent, file, limit := "/sys/fs/cgroup", "cpu.max", fmt.Sprint(quota, " ", period)
	if _, err := os.Stat("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"); err == nil {
		parent, file, limit = "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", fmt.Sprint(quota)
	} else { // it may be enabled already
		_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+cpu"), 0o600)
	}
	g = &cgroup{}
	if g.path, err = os.MkdirTemp(parent, "fosite-sessions-load-"); err == nil {
		err = os.WriteFile(filepath.Join(g.path, file), []byte(limit), 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("creating a control group with a CPU limit: %w", err), g.remove())
	}
	return g, nil
}

// join returns the file to which a process writes its id to enter the group together with its future
// children.
func (g *cgroup) join() string {
	if g == nil {
		return ""
	}
	return filepath.Join(g.path, "cgroup.procs")
}

// remove removes the group when its processes have ended, which the kernel registers with a delay.
func (g *cgroup) remove() (err error) {
	if g == nil || g.path == "" {
		return nil
	}
	for range 100 {
		if err = os.Remove(g.path); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
