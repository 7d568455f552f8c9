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

// failure is the failure of an open database: of a commit, a sync or another of its writes.
//
// Badger puts rows into its memory table before it syncs them, and after a failed sync the kernel marks the
// pages clean: what is read afterwards, even by a retry of the failed call, may never have reached the disk.
// So the first failure is final: every later call fails as unavailable until the database is reopened from
// what is on disk.
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

// note makes the database fail. Only its first call has an effect.
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

// err returns why the database failed, or nil if it has not.
func (f *failure) err() error {
	select {
	case <-f.happened:
		return f.reason
	default:
		return nil
	}
}
