//go:build unix && !solaris && !aix

package smallfile

// Locks of drafts: one that no process holds may be removed.

import (
	"os"
	"syscall"
)

// lock locks a file until it is closed. It fails if another process holds the lock, and does not wait.
func lock(file *os.File) error { return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
