package disk

// The page cache on Linux.

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropPages drops a file from the page cache: the next read comes from disk.
func dropPages(file *os.File) error {
	return os.NewSyscallError("fadvise", unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED))
}
