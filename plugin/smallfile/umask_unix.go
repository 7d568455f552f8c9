//go:build unix

package smallfile

// The umask of a process that stores secrets in files.

import "syscall"

// RestrictUmask sets the umask of this process to 007: only the owner and the group can access its files. The
// group is included for volumes that belong to one; a store there cannot be opened by a process whose files
// others could read.
func RestrictUmask() { syscall.Umask(0o007) }
