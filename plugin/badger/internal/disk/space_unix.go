//go:build linux || darwin

package disk

// Free space of a disk and limits of this process.

import (
	"math"
	"os"
	"syscall"
)

func freeSpace(path string) (uint64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(path, &disk); err != nil {
		return 0, err
	}
	if disk.Blocks == 0 { // not reported, as by some network and FUSE file systems
		return math.MaxInt64, nil
	}
	return disk.Bavail * uint64(disk.Bsize), nil
}

// FreeInodes returns the number of free inodes.
func FreeInodes(path string) (uint64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(path, &disk); err != nil {
		return 0, err
	}
	if disk.Files == 0 { // inodes are allocated dynamically
		return math.MaxInt64, nil
	}
	return disk.Ffree, nil
}

func fileSizeLimit() uint64 { return softLimit(syscall.RLIMIT_FSIZE) }

func openFilesLimit() uint64 { return softLimit(syscall.RLIMIT_NOFILE) }

func softLimit(of int) uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(of, &limit) != nil {
		return math.MaxUint64
	}
	return limit.Cur
}

// onDiskSize returns the disk usage of a file: logs are large but sparse.
func onDiskSize(info os.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(stat.Blocks*512, info.Size())
	}
	return info.Size()
}
