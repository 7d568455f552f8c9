package main

// A share of a core: a group of processes that the system holds to it.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// cgroup is a folder of the system's. A nil one holds nobody.
type cgroup struct{ path string }

// newCgroup makes a group of version 2, or of version 1 where that is what has the CPU. It takes root.
func newCgroup(cores float64) (g *cgroup, err error) {
	const period = 100_000 // µs, as the system has it by default
	quota := int(cores * period)
	parent, file, limit := "/sys/fs/cgroup", "cpu.max", fmt.Sprint(quota, " ", period)
	if _, err := os.Stat("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"); err == nil {
		parent, file, limit = "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", fmt.Sprint(quota)
	} else { // the parent's affair
		_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+cpu"), 0o600)
	}
	g = &cgroup{}
	if g.path, err = os.MkdirTemp(parent, "fosite-sessions-load-"); err == nil {
		err = os.WriteFile(filepath.Join(g.path, file), []byte(limit), 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("no group can be held to a share of a core: %w", err), g.remove())
	}
	return g, nil
}

// join is the file to which a process writes its number to be in the group, with those that it starts.
func (g *cgroup) join() string {
	if g == nil {
		return ""
	}
	return filepath.Join(g.path, "cgroup.procs")
}

// remove removes the group once its processes have ended, of which the system hears a moment later.
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
