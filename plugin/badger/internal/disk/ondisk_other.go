//go:build !linux

package disk

// Systems without a call for the page cache.

import (
	"os"
)

// dropPages does nothing where the system has no call for it: there the sync before it has to do.
func dropPages(*os.File) error { return nil }
