package plugin

// Details of processes and mounts that only Linux reports.

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// onlyZombies reports whether all members of a process group are zombies. Signal 0 succeeds for zombies,
// which remain forever if process 1 does not reap, as in many containers.
func onlyZombies(group int) bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return false // /proc is not readable
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // the process has gone
		}
		// After the name in parentheses, which may contain anything: state, parent, group (proc(5)).
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
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

// onNoExec reports whether a file is on a file system mounted noexec.
func onNoExec(path string) bool {
	const noExec = 8 // ST_NOEXEC of statvfs(3)
	var fs syscall.Statfs_t
	return syscall.Statfs(path, &fs) == nil && fs.Flags&noExec != 0
}
