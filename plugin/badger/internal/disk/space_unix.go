//go:build linux || darwin

package disk

// What the system says of a disk and of the limits of this process.

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
	if disk.Blocks == 0 { // a file system that does not know, as some of networks and of FUSE
		return math.MaxInt64, nil
	}
	return disk.Bavail * uint64(disk.Bsize), nil
}

// FreeInodes returns how many files may still be created.
func FreeInodes(path string) (uint64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(path, &disk); err != nil {
		return 0, err
	}
	if disk.Files == 0 { // a file system that makes them as they are needed
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

// onDiskSize is what a file takes of the disk: logs are made large and stay sparse.
func onDiskSize(info os.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(stat.Blocks*512, info.Size())
	}
	return info.Size()
}
