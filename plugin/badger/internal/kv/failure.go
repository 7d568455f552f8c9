package kv

// The failure of a database: final, and reported once.

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// failure is the end of an open database: a commit, a sync or another write of the database that failed.
//
// Badger puts rows into its memory table before it syncs them, and after a failed sync the system takes the
// pages for clean: what is read afterwards, also by the repetition of the call that failed, may never have
// come to the disk. So the first failure is the last thing that it does. Whatever is asked of it
// from then on is unavailable, until the database was opened again from what is on the disk.
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

// note makes the database fail, the first time that it is called.
func (f *failure) note(doing string, err error) {
	f.once.Do(func() {
		f.reason = fmt.Errorf(
			"%w: the database has failed and serves nothing more until it is opened again: %s: %w",
			ticketstore.ErrUnavailable, doing, disk.Explain(f.path, err))
		close(f.happened)
		f.logger.ErrorContext(context.Background(), "the database has failed: nothing more is served from it",
			"path", f.path, "doing", doing, "error", disk.Explain(f.path, err))
	})
}

// err is why the database has failed, nil while it has not.
func (f *failure) err() error {
	select {
	case <-f.happened:
		return f.reason
	default:
		return nil
	}
}
