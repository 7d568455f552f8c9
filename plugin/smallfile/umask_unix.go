//go:build unix

package smallfile

// The umask of a process that keeps secrets in files.

import "syscall"

// RestrictUmask sets the umask of this process to 007: others than the owner and the group get nothing of the
// files that it makes. The group counts where a volume belongs to one; a store there refuses to be opened by
// a process whose files others could read.
func RestrictUmask() { syscall.Umask(0o007) }
