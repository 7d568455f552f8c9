//go:build unix

package umask

import "syscall"

// KeepOthersOut sets it for all of this process.
func KeepOthersOut() { syscall.Umask(0o007) }
