//go:build !unix || solaris || aix

package smallfile

// Locks of drafts on systems without flock.

import (
	"errors"
	"os"
)

// lock returns an error. Where files cannot be locked, drafts are left alone.
func lock(*os.File) error { return errors.ErrUnsupported }
