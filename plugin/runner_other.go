//go:build !unix

package plugin

// Replacements for process groups and signals on systems without them.

import (
	"errors"
	"os"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return nil }

func askToEnd(*os.Process) error { return errors.ErrUnsupported }

func killGroup(process *os.Process) { _ = process.Kill() }

func groupLives(*os.Process) bool { return false }

// maxSocketPath is the maximum length of a unix socket's path.
const maxSocketPath = 107
