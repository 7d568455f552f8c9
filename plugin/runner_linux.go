package plugin

// What only Linux reports of processes and mounts.

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// onlyZombies reports whether all members of a process group are zombies. Signal 0 reaches zombies too,
// forever where process 1 does not reap, as in many containers.
func onlyZombies(group int) bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return false // /proc is not readable
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has gone
		}
		// Behind the name in parentheses, which may hold anything: state, parent, group (proc(5)).
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) < 3 || fields[2] != strconv.Itoa(group) {
			continue
		}
		// A first thread may have ended before another that is still in a sync: the process holds its files
		// until then.
		threads, _ := os.ReadDir(filepath.Join(filepath.Dir(path), "task"))
		if fields[0] != "Z" && fields[0] != "X" || len(threads) > 1 {
			return false
		}
	}
	return true
}

// onNoExec reports whether a file lies on a file system that is mounted noexec.
func onNoExec(path string) bool {
	const noExec = 8 // ST_NOEXEC of statvfs(3)
	var fs syscall.Statfs_t
	return syscall.Statfs(path, &fs) == nil && fs.Flags&noExec != 0
}
