//go:build unix

package plugin

// Process groups: signals reach a plugin and the children of its wrapper.

import (
	"os"
	"syscall"
)

// ownGroup puts the plugin into a process group of its own: the terminal's signals do not reach it, and
// killGroup reaches the children of a wrapper script.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func askToEnd(process *os.Process) error { return process.Signal(syscall.SIGTERM) }

func killGroup(process *os.Process) {
	_ = syscall.Kill(-process.Pid, syscall.SIGKILL)
	_ = process.Kill()
}

// groupLives reports whether the group of a process that has ended still has members that run.
func groupLives(process *os.Process) bool {
	return syscall.Kill(-process.Pid, 0) == nil && !onlyZombies(process.Pid)
}

// maxSocketPath is the length of the longest path that a unix socket may have.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1
