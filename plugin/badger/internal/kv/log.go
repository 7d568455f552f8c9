package kv

// Badger's log, and the failures that it reports nowhere else.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
)

// badgerLogger passes Badger's own log on, and is where failures of its background work show: Badger logs
// them and goes on, which must not be. Its info lines are of use when something is wrong only.
type badgerLogger struct {
	logger      *slog.Logger
	failure     *failure
	compactions *compactions
}

func newBadgerLogger(failure *failure) badgerLogger {
	return badgerLogger{logger: failure.logger, failure: failure, compactions: newCompactions(failure)}
}

// What Badger logs, by its format strings. TestFailedFlushIsFinal and TestFailedCompactionIsFinal fail when
// they have changed.
const (
	flushFailed      = "error flushing memtable to disk: %v, retrying"
	compactionFailed = "[Compactor: %d] LOG Compact FAILED with error: %+v: %+v"
	// What a compaction says of itself: how many keys the table has that it is about to write, and that it is
	// done.
	compactionWrites = "[%d] LOG Compact. Added %d keys. Skipped %d keys. Iteration took: %v"
	compactionDone   = "[Compactor: %d] Compaction for level: %d DONE"
	// Two errors of reading, which say nothing about what was written.
	invalidRead = "Invalid read: vp: %+v"
	noStatistic = "Unable to get stats for value log fid: %d err: %+v"
	// A compaction that was begun for nothing is no failure.
	nothingToCompact = "there is a non-empty level"
)

// Errorf takes what Badger calls an error for the end of the database.
func (l badgerLogger) Errorf(format string, args ...any) {
	l.log(slog.LevelError, format, args)
	if format == invalidRead || format == noStatistic {
		return
	}
	if format == flushFailed {
		// First: the process may end with the failure. Where it cannot be written, the manifest could not be
		// either.
		_ = l.compactions.note.Keep()
	}
	l.failure.note("the database's background work", loggedErrorf(format, args))
	if format == flushFailed {
		// The flusher would try again, with a table that the manifest may have twice then. It ends here
		// instead, as it does at Close.
		runtime.Goexit()
	}
}

// Warningf does the same for a compaction.
func (l badgerLogger) Warningf(format string, args ...any) {
	l.log(slog.LevelWarn, format, args)
	if format != compactionFailed {
		return
	}
	if err := loggedErrorf(format, args); !strings.Contains(err.Error(), nothingToCompact) {
		_ = l.compactions.note.Keep() // it was written when the compaction began
		l.failure.note("compacting the database", err)
		runtime.Goexit() // see Errorf: the same tables would be compacted again
	}
}

// Infof logs for those who look closely.
func (l badgerLogger) Infof(format string, args ...any) { l.log(slog.LevelDebug, format, args) }

// Debugf drops what is of use to Badger's authors only, but for what compactions say.
func (l badgerLogger) Debugf(format string, args ...any) {
	switch format {
	case compactionWrites:
		id, _ := args[0].(int)
		keys, _ := args[1].(uint64)
		l.compactions.writes(id, keys)
	case compactionDone:
		id, _ := args[0].(int)
		l.compactions.done(id)
	}
}

func (l badgerLogger) log(level slog.Level, format string, args []any) {
	l.logger.Log(context.Background(), level, "badger", "event",
		strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// loggedErrorf is the error in a log line, else its text.
func loggedErrorf(format string, args []any) error {
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			return err
		}
	}
	return errors.New(strings.TrimSpace(fmt.Sprintf(format, args...)))
}
