package disk

// The lock of a store's folder, as taken by Badger.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/plugin/internal/program"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// LockPoll is the interval of attempts to lock a folder.
	LockPoll = 50 * time.Millisecond
	// lockPatience is how long a folder is waited for that is about to be released.
	lockPatience = time.Second
	// lockPIDFile is where Badger writes the id of the process that has a database open.
	lockPIDFile = "LOCK"
)

// AwaitLock locks an existing folder. It waits for another process to release it: a process that was killed
// or asked to exit may still hold it. It gives up shortly before the context's deadline; without a deadline,
// like OpenReleased.
func AwaitLock(ctx context.Context, path string, logger *slog.Logger) (unlock func() error, err error) {
	limit := program.OpenUntil(ctx, lockPatience)
	for waited := false; ; waited = true {
		unlock, err = Lock(path, false)
		switch {
		case !errors.Is(err, errInUse):
			return unlock, err
		case !time.Now().Before(limit):
			return nil, InUse(path)
		case !waited:
			logger.InfoContext(ctx, "database folder is in use by another process, waiting",
				"path", path, "pid", ownerOf(path))
		}
		select {
		case <-time.After(LockPoll):
		case <-ctx.Done():
			return nil, InUse(path)
		}
	}
}

// OpenReleased retries open for lockPatience: while a child process is being started, files that this process
// has just closed stay open until the child executes its program.
func OpenReleased[T any](open func() (T, error)) (T, error) {
	for limit := time.Now().Add(lockPatience); ; time.Sleep(LockPoll) {
		opened, err := open()
		if err == nil || !IsLocked(err) || time.Now().After(limit) {
			return opened, err
		}
	}
}

// Share takes a shared lock of a folder that no process has open, which excludes processes that would change
// it.
func Share(path string) (unlock func() error, err error) {
	return OpenReleased(func() (func() error, error) { return Lock(path, true) })
}

// InUse returns an error that names the process using the folder, if it can be determined.
func InUse(path string) error {
	owner := ""
	if pid := ownerOf(path); pid != 0 {
		owner = fmt.Sprintf(", process %d", pid)
	}
	return ticketstore.Invalidf("path",
		"%s is in use by another process%s: a badger store belongs to one plugin at a time", path, owner)
}

// ownerOf returns the process that has a database open, or 0 if unknown. The id that Badger wrote may be that
// of an ended process, or of another machine or container, so it is used only if that process has the folder
// open.
func ownerOf(path string) (pid int) {
	text, err := os.ReadFile(filepath.Join(path, lockPIDFile))
	if err != nil {
		return 0
	}
	folder, err := os.Stat(path)
	if err != nil {
		return 0
	}
	pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && os.SameFile(info, folder) {
			return pid
		}
	}
	return 0
}

// errInUse means that a database is open in the folder.
var errInUse = errors.New("is in use by another process")

// IsLocked reports whether a database cannot be opened because another process has it open.
func IsLocked(err error) bool {
	return errors.Is(err, errInUse) || strings.Contains(err.Error(), "Cannot acquire directory lock")
}
