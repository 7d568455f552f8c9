package plugin

// Details of processes and mounts that only Linux reports.

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// onlyZombies reports whether all members of a process group are zombies. Signal 0 succeeds for zombies,
// which remain forever if process 1 does not reap, as in many containers.
func onlyZombies(group int) bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return false // /proc is not readable
	}
	for _, path := range stats {
		fields := statOf(path) // state, parent, group
		if len(fields) < 3 || fields[2] != strconv.Itoa(group) {
			continue
		}
		// The main thread may have ended before a thread that is still in a sync: until then the process
		// holds its files.
		threads, _ := os.ReadDir(filepath.Join(filepath.Dir(path), "task"))
		if fields[0] != "Z" && fields[0] != "X" || len(threads) > 1 {
			return false
		}
	}
	return true
}

// conditionOf describes a process by its state and the CPU time that it has used (proc_pid_stat(5)).
func conditionOf(pid int) string {
	const tick = 10 * time.Millisecond
	fields := statOf(fmt.Sprintf("/proc/%d/stat", pid))
	if len(fields) < 13 {
		return "process state unknown"
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return fmt.Sprintf("process state %s, %s of CPU time", fields[0], time.Duration(user+system)*tick)
}

// statOf returns the fields of a process's stat file from the state on: before it, in parentheses, is a name
// that may contain anything (proc_pid_stat(5)).
func statOf(path string) []string {
	stat, _ := os.ReadFile(path) // nothing if the process has gone
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}

// onNoExec reports whether a file is on a file system mounted noexec.
func onNoExec(path string) bool {
	const noExec = 8 // ST_NOEXEC of statvfs(3)
	var fs syscall.Statfs_t
	return syscall.Statfs(path, &fs) == nil && fs.Flags&noExec != 0
}
