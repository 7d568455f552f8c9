//go:build !unix

package plugin

// Process groups and signals where there are none.

import (
	"errors"
	"os"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return nil }

func askToEnd(*os.Process) error { return errors.ErrUnsupported }

func killGroup(process *os.Process) { _ = process.Kill() }

func groupLives(*os.Process) bool { return false }

// maxSocketPath is the length of the longest path that a unix socket may have.
const maxSocketPath = 107
