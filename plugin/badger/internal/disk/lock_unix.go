//go:build unix && !solaris && !aix

package disk

// The lock of a folder, compatible with Badger's own.

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Lock locks a folder like Badger does, shared or exclusively. It fails with errInUse if a database is open
// in it, and does not wait.
func Lock(path string, shared bool) (unlock func() error, err error) {
	folder, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	err = syscall.Flock(int(folder.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errInUse
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), folder.Close())
	}
	return func() error {
		// A child process being started has inherited the open folder until it executes its program: closing
		// alone would leave the lock to it.
		return errors.Join(syscall.Flock(int(folder.Fd()), syscall.LOCK_UN), folder.Close())
	}, nil
}
