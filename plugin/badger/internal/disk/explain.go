// Package disk asks the operating system about a store's folder: its owner, the process that has it open, its
// free space and limits, what is on the disk and not in the page cache alone, and what errors mean.
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
