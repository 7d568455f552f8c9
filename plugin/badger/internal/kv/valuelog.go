package kv

// Garbage collection of the value log.

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
)

const (
	// valueLogEvery is the interval of checks of the value log. It holds only values over 1 MiB, which are
	// rare: all others are in the tables, where compactions remove garbage.
	valueLogEvery = 10 * time.Minute
	// discardRatio is the share of garbage at which a file is rewritten.
	discardRatio = 0.5
)

// tendValueLog collects the value log's garbage until the database is closed.
func (d *DB) tendValueLog(ctx context.Context) {
	every(ctx, valueLogEvery, func() {
		switch files, err := d.collectValues(ctx); {
		case err != nil:
			d.logger.ErrorContext(ctx, "value log cannot be collected, retrying", "error", err)
		case files > 0:
			d.logger.InfoContext(ctx, "value log collected", "files", files)
		}
	})
}

// collectValues is collectValueLog with a marker that does not require the files meanwhile. A disk error is a
// failure of the database if it occurred in Badger; if the marker cannot be written, nothing is collected.
func (d *DB) collectValues(ctx context.Context) (files int, err error) {
	var met error
	err = d.withoutValues(func() error {
		files, met = collectValueLog(ctx, d.db)
		return met
	})
	if _, failed := errors.AsType[syscall.Errno](met); failed {
		d.failure.note("collecting the value log", met)
	}
	return files, err
}

// collectValueLog rewrites files of the value log that are mostly garbage, and returns how many.
func collectValueLog(ctx context.Context, db *badger.DB) (files int, err error) {
	for ctx.Err() == nil {
		err := db.RunValueLogGC(discardRatio)
		if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
			return files, nil
		}
		if err != nil {
			return files, err
		}
		files++
	}
	return files, nil
}
