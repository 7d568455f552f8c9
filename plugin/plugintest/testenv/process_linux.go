package testenv

// Children that end with the test binary, by the system's parent-death signal.

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the kernel kill a process when its parent ends without a cleanup.
func endWithParent(command *exec.Cmd) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
