//go:build unix

package plugin

// Process groups: signals reach a plugin and the children of its wrapper script.

import (
	"os"
	"syscall"
)

// ownGroup puts the plugin into its own process group, so that the terminal's signals do not reach it and
// killGroup also reaches the children of a wrapper script.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func askToEnd(process *os.Process) error { return process.Signal(syscall.SIGTERM) }

func killGroup(process *os.Process) {
	_ = syscall.Kill(-process.Pid, syscall.SIGKILL)
	_ = process.Kill()
}

// groupLives reports whether the group of an ended process still has running members.
func groupLives(process *os.Process) bool {
	return syscall.Kill(-process.Pid, 0) == nil && !onlyZombies(process.Pid)
}

// maxSocketPath is the maximum length of a unix socket's path.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1
