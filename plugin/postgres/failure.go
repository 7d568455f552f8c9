package postgres

// Failures of the database: which are transient, and the errors returned to callers.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Error codes of PostgreSQL, appendix A.
const (
	codeUnique    = "23505"
	codeGuard     = "22012" // a row differs from what was read: division by zero
	codeSerialize = "40001"
	codeDeadlock  = "40P01"
	codeLock      = "55P03"
)

// damage: what a row holds cannot be read. Trying again does not help, and no other row is concerned.
type damage struct {
	table *table
	row   *row // as its columns have it
	cause error
}

func (d *damage) Error() string {
	return "a row of table " + d.table.name + " is damaged: " + d.cause.Error()
}

// sidOf returns the session that a row belongs to, or "". The columns say it, not what the row holds: damaged
// data may name another session.
func sidOf(r *row) string {
	switch m := r.now.(type) {
	case *records.Session:
		return m.GetSessionId()
	case *records.ClientUse:
		sid, _ := splitClient(r.key)
		return sid
	case *records.Grant:
		return m.GetSessionId()
	}
	return ""
}

// lost reports whether the connection failed, so that the outcome of the last statement is unknown.
func lost(err error) bool {
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		return failure.Severity == "FATAL" || failure.Severity == "PANIC" || failure.Code[:2] == "57" ||
			failure.Code[:2] == "08" || failure.Code == codeConnections || failure.Code == codeReadOnly
	}
	_, damaged := errors.AsType[*damage](err)
	return err != nil && !damaged && !errors.Is(err, errUnknown) &&
		!errors.Is(err, errIncomplete) && !errors.Is(err, errLease)
}

// conflict reports whether a transaction conflicted with another one.
func conflict(err error) bool {
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch failure.Code {
		case codeUnique, codeGuard, codeSerialize, codeDeadlock, codeLock:
			return true
		}
	}
	return false
}

// errConflict is returned for a call that is not retried.
var errConflict = errors.New("another transaction was in the way")

// errIncomplete means that a call needs rows that its plan does not name.
var errIncomplete = errors.New("the plan of a read is not complete")

// retrying retries f on transient errors: conflicts a number of times; an unreachable database and an expired
// lease for a while.
func (e *Engine) retrying(ctx context.Context, f func() error) error {
	began := time.Now()
	for attempt := 1; ; attempt++ {
		err := f()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return e.unavailable(ctx, err)
		case conflict(err) && attempt < attempts,
			(lost(err) || errors.Is(err, errLease)) && time.Since(began) < patience:
		default:
			return e.unavailable(ctx, err)
		}
		select {
		case <-time.After(pause * time.Duration(min(attempt, 50))):
		case <-ctx.Done():
		}
	}
}

// unavailable converts a failure to the caller's error, without details of the request. The log has the
// cause.
func (e *Engine) unavailable(ctx context.Context, err error) error {
	if e.closed.Load() {
		return errClosed
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%w: %w", ticketstore.ErrUnavailable, cause)
	}
	if errors.Is(err, errLease) {
		return err // the log says why beats fail
	}
	config := e.pool.Config().ConnConfig
	if suppressed, ok := e.failures.Allow(time.Now()); ok { // callers can cause any number of failures
		e.logger.ErrorContext(ctx, "the database failed", "at", place(config), "error", explain(err, config),
			"lines_suppressed", suppressed)
	}
	if damaged, ok := errors.AsType[*damage](err); ok {
		return fmt.Errorf("%w: %w", ticketstore.ErrUnavailable, damaged)
	}
	switch failure, refused := errors.AsType[*pgconn.PgError](err); {
	case refused && failure.Code == codeDiskFull:
		return ticketstore.ErrNoSpace
	case refused:
		return fmt.Errorf("%w: the database refused a statement: %s (SQLSTATE %s)",
			ticketstore.ErrUnavailable, failure.Message, failure.Code)
	}
	return fmt.Errorf("%w: no PostgreSQL answers at %s", ticketstore.ErrUnavailable, place(config))
}
