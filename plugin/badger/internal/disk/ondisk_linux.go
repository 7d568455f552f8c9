package disk

// The page cache on Linux.

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropPages has the system forget what it keeps of a file in memory: the next read comes from the disk.
func dropPages(file *os.File) error {
	return os.NewSyscallError("fadvise", unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED))
}
