package badger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// failure is the end of an engine: a commit, a sync or another write of the database that failed.
//
// Badger puts rows into its memory table before it syncs them, and after a failed sync the system takes the
// pages for clean: what is read afterwards, also by the repetition of the call that failed, may never have
// come to the disk. So the first failure is the last thing that an engine does. Whatever is asked of it
// from then on is unavailable, until the database was opened anew from what is on the disk.
type failure struct {
	path     string
	logger   *slog.Logger
	once     sync.Once
	happened chan struct{} // closed after reason was set
	reason   error
}

func newFailure(path string, logger *slog.Logger) *failure {
	return &failure{path: path, logger: logger, happened: make(chan struct{})}
}

// note makes the engine fail, the first time that it is called.
func (f *failure) note(doing string, err error) {
	f.once.Do(func() {
		f.reason = fmt.Errorf("%w: the database has failed and serves nothing more until it is opened anew: %s: %w",
			ticketstore.ErrUnavailable, doing, explainDisk(f.path, err))
		close(f.happened)
		f.logger.ErrorContext(context.Background(), "the database has failed: nothing more is served from it",
			"path", f.path, "doing", doing, "error", explainDisk(f.path, err))
	})
}

// err is why the engine has failed, nil while it has not.
func (f *failure) err() error {
	select {
	case <-f.happened:
		return f.reason
	default:
		return nil
	}
}

// Failed is closed when the database has failed: a commit, a sync or another write of it did. The engine
// then answers every call with ticketstore.ErrUnavailable, reads too, and what the calls that were under
// way have changed is not known. Close it, or rather end the process, and open the database anew: that
// serves what is on the disk.
func (e *Engine) Failed() <-chan struct{} { return e.failure.happened }

// Failure is why the database has failed, nil while it has not.
func (e *Engine) Failure() error { return e.failure.err() }

// gone is the answer of an engine that has failed or that is closed.
func (e *Engine) gone() error {
	if err := e.failure.err(); err != nil {
		return err
	}
	return errClosed()
}

// abandonPatience is how long closing a database that has failed may take. What it leaves undone, the next
// Open does.
const abandonPatience = 1500 * time.Millisecond

// abandon closes a database that has failed, as far as its disk lets it: Badger ends its work only by
// writing what it has in memory, which harms nothing, for all of that is complete transactions. Where that
// does not end, the database is held until the process ends.
func (e *Engine) abandon() error {
	closed := make(chan error, 1)
	go func() { closed <- e.shut() }()
	patience := time.NewTimer(abandonPatience)
	defer patience.Stop()
	select {
	case err := <-closed:
		return errors.Join(e.failure.err(), err)
	case <-patience.C:
		return fmt.Errorf("%w; it cannot be closed: it is held until this process ends", e.failure.err())
	}
}

// explainDisk says in plain words what is wrong with a disk, where the system's error tells.
func explainDisk(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the file system at %s is read-only: %w", path, err)
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%s cannot be read or written, its disk fails (the system's log says how): %w", path, err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("there is no room left at %s: %w", path, err)
	case errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the quota at %s is used up: %w", path, err)
	}
	return err
}
