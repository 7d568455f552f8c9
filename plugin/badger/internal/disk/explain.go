// Package disk is what the operating system says of a store's folder: whose it is and who has it open, how
// much room there is and what a limit forbids, what is on the disk indeed, and what its errors mean.
package disk

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Explain says in plain words what is wrong with a disk, where the system's error is known.
func Explain(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the file system at %s is read-only: %w", path, err)
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%s cannot be read or written, its disk fails (the system's log says how): %w",
			path, err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("there is no room left at %s: %w", path, err)
	case errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the quota at %s is used up: %w", path, err)
	}
	return err
}

// Unreadable is the error of a folder that cannot be read.
func Unreadable(path string, err error) error {
	return ticketstore.Invalidf("path", "%s cannot be read: %v%s", path, err, OwnedBy(path))
}
