package testenv

// Children that end with the test binary, by the system's parent-death signal.

import (
	"os/exec"
	"syscall"
)

// endWithParent has a process killed when the one that starts it ends without a cleanup.
func endWithParent(command *exec.Cmd) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
