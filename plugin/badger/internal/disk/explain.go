// Package disk queries the operating system about a store's folder: its owner, the process that has it open,
// free space and limits, whether its files are on disk rather than only in the page cache, and the meaning of
// errors.
package disk

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Explain describes an error of a disk in plain words, if it is known.
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

// Unreadable returns the error for a folder that cannot be read.
func Unreadable(path string, err error) error {
	return ticketstore.Invalidf("path", "%s cannot be read: %v%s", path, err, OwnedBy(path))
}
