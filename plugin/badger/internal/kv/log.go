package kv

// Badger's log, which is the only place where it reports some failures.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
)

// badgerLogger forwards Badger's log and detects failures of its background work: Badger only logs them and
// continues, which must not happen. Its info lines are logged at debug level.
type badgerLogger struct {
	logger      *slog.Logger
	failure     *failure
	compactions *compactions
}

func newBadgerLogger(failure *failure) badgerLogger {
	return badgerLogger{logger: failure.logger, failure: failure, compactions: newCompactions(failure)}
}

// Format strings of Badger's log messages. TestFailedFlushIsFinal and TestFailedCompactionIsFinal fail if
// they change.
const (
	flushFailed      = "error flushing memtable to disk: %v, retrying"
	compactionFailed = "[Compactor: %d] LOG Compact FAILED with error: %+v: %+v"
	// Messages of a compaction: the number of keys of the table that it is about to write, and its end.
	compactionWrites = "[%d] LOG Compact. Added %d keys. Skipped %d keys. Iteration took: %v"
	compactionDone   = "[Compactor: %d] Compaction for level: %d DONE"
	// Two read errors, which do not concern what was written.
	invalidRead = "Invalid read: vp: %+v"
	noStatistic = "Unable to get stats for value log fid: %d err: %+v"
	// A compaction with nothing to do is not a failure.
	nothingToCompact = "there is a non-empty level"
)

// Errorf treats Badger's errors as the failure of the database.
func (l badgerLogger) Errorf(format string, args ...any) {
	l.log(slog.LevelError, format, args)
	if format == invalidRead || format == noStatistic {
		return
	}
	if format == flushFailed {
		// First, because the process may end with the failure. If this cannot be written, the manifest could
		// not be written either.
		_ = l.compactions.note.Keep()
	}
	l.failure.note("the database's background work", loggedErrorf(format, args))
	if format == flushFailed {
		// The flusher would retry, with a table that may then be in the manifest twice. It ends here instead,
		// as it does at Close.
		runtime.Goexit()
	}
}

// Warningf treats failures of a compaction as the failure of the database.
func (l badgerLogger) Warningf(format string, args ...any) {
	l.log(slog.LevelWarn, format, args)
	if format != compactionFailed {
		return
	}
	if err := loggedErrorf(format, args); !strings.Contains(err.Error(), nothingToCompact) {
		_ = l.compactions.note.Keep() // it was already written when the compaction began
		l.failure.note("compacting the database", err)
		runtime.Goexit() // see Errorf: the same tables would be compacted again
	}
}

// Infof logs at debug level.
func (l badgerLogger) Infof(format string, args ...any) { l.log(slog.LevelDebug, format, args) }

// Debugf drops messages for Badger's developers, but handles those of compactions.
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

// loggedErrorf returns the error among a log message's arguments, else the message as an error.
func loggedErrorf(format string, args []any) error {
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			return err
		}
	}
	return errors.New(strings.TrimSpace(fmt.Sprintf(format, args...)))
}
