package disk

// Who has a store open: a lock of its folder, as Badger takes it.

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

	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// LockPoll is how often to look whether a folder was let go of.
	LockPoll = 50 * time.Millisecond
	// LockAnswer is what is left of the time to open for saying why it is not open, or a fifth of that time
	// where that is less.
	LockAnswer = time.Second
	// lockPIDFile is where Badger writes which process has a database open.
	lockPIDFile = "LOCK"
)

// AwaitLock locks a folder that is there. It waits for another process to let go of it: one that was killed
// or asked to end may still have it. It gives up shortly before the context's deadline, without one as
// OpenReleased does.
func AwaitLock(ctx context.Context, path string, logger *slog.Logger) (unlock func() error, err error) {
	limit := time.Now().Add(LockAnswer)
	if deadline, ok := ctx.Deadline(); ok {
		limit = deadline.Add(-min(LockAnswer, time.Until(deadline)/5))
	}
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

// OpenReleased opens what no process has open, for LockAnswer: where a child is being started, what this
// process has just closed is open until that runs its program.
func OpenReleased[T any](open func() (T, error)) (T, error) {
	for limit := time.Now().Add(LockAnswer); ; time.Sleep(LockPoll) {
		opened, err := open()
		if err == nil || !IsLocked(err) || time.Now().After(limit) {
			return opened, err
		}
	}
}

// Share locks a folder that no process has open against those that would change it.
func Share(path string) (unlock func() error, err error) {
	return OpenReleased(func() (func() error, error) { return Lock(path, true) })
}

// InUse names the process that has the folder, where it can be found.
func InUse(path string) error {
	owner := ""
	if pid := ownerOf(path); pid != 0 {
		owner = fmt.Sprintf(", process %d", pid)
	}
	return ticketstore.Invalidf("path",
		"%s is in use by another process%s: a badger store belongs to one plugin at a time", path, owner)
}

// ownerOf returns the process that has a database open, 0 if it cannot be found. What Badger wrote down may
// be of a process that has gone, or of another machine's or container's: it is believed of one that has the
// folder open.
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

// errInUse: a database is open in the folder.
var errInUse = errors.New("is in use by another process")

// IsLocked reports whether a database does not open as another process has it.
func IsLocked(err error) bool {
	return errors.Is(err, errInUse) || strings.Contains(err.Error(), "Cannot acquire directory lock")
}
