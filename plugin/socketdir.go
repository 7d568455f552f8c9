package plugin

// Checks of the socket's folder.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// socketName has the length of the longest name that go-plugin, on either side, appends to the socket's
// folder.
const socketName = "/plugin-dir1234567890/plugin1234567890"

// checkSocketDir refuses a folder in which no socket can be created. It runs before the start: later the
// error would blame the binary.
func (c *Config) checkSocketDir() error {
	folder, from := c.SocketDir, "SocketDir"
	if folder == "" {
		folder, from = os.TempDir(), "TMPDIR"
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	// The plugin starts in our working directory but may change it.
	problem := func(what, remedy string) error {
		return fmt.Errorf("the folder for its socket, %s from %s, %s: %s, or set SocketDir (else TMPDIR of "+
			"the host) to another one", folder, from, what, remedy)
	}
	if longest := maxSocketPath - len(socketName); len(folder) > longest {
		what := fmt.Sprintf("has %d bytes, and a unix socket allows for %d", len(folder), longest)
		return problem(what, "make it shorter")
	}
	probe, err := os.MkdirTemp(folder, "plugin-dir")
	switch {
	case err == nil:
		return os.Remove(probe)
	case errors.Is(err, fs.ErrNotExist):
		return problem("does not exist", "create it")
	case errors.Is(err, syscall.ENOTDIR):
		return problem("is no folder", "remove what is there")
	case errors.Is(err, syscall.EROFS):
		return problem("is on a read-only file system", "mount it writable")
	case errors.Is(err, fs.ErrPermission):
		return problem("may not be written by this user", "change its mode or owner")
	}
	return problem(fmt.Sprintf("cannot be used (%v)", err), "correct that")
}
