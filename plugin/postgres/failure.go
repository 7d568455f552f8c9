package postgres

// Failures of the database: which pass, and what callers are told.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Codes of PostgreSQL, appendix A.
const (
	codeUnique    = "23505"
	codeGuard     = "22012" // a row was not as it was read: division by zero
	codeSerialize = "40001"
	codeDeadlock  = "40P01"
	codeLock      = "55P03"
)

// lost reports whether the connection failed, so that it is not known what the server did last.
func lost(err error) bool {
	var failure *pgconn.PgError
	if errors.As(err, &failure) {
		return failure.Severity == "FATAL" || failure.Severity == "PANIC" || failure.Code[:2] == "57" ||
			failure.Code[:2] == "08" || failure.Code == codeConnections || failure.Code == codeReadOnly
	}
	return err != nil && !errors.Is(err, errUnknown) && !errors.Is(err, errIncomplete) &&
		!errors.Is(err, errLease)
}

// conflict reports whether another transaction was in the way.
func conflict(err error) bool {
	var failure *pgconn.PgError
	if errors.As(err, &failure) {
		switch failure.Code {
		case codeUnique, codeGuard, codeSerialize, codeDeadlock, codeLock:
			return true
		}
	}
	return false
}

// errConflict is the answer to a call that is tried once.
var errConflict = errors.New("another transaction was in the way")

// errIncomplete: a call needs rows that its plan does not name.
var errIncomplete = errors.New("the plan of a read is not complete")

// retrying repeats f while what it meets passes: conflicts a number of times, a database that cannot be
// reached, and a lease that is over, for a while.
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

// unavailable is what a caller is told of a failure: nothing about what it asked for. The log has the cause.
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
	if suppressed, ok := e.failures.Allow(time.Now()); ok { // callers can fail in any number
		e.logger.ErrorContext(ctx, "the database failed", "at", place(config), "error", explain(err, config),
			"lines_suppressed", suppressed)
	}
	var failure *pgconn.PgError
	switch {
	case errors.As(err, &failure) && failure.Code == codeDiskFull:
		return ticketstore.ErrNoSpace
	case errors.As(err, &failure):
		return fmt.Errorf("%w: the database refused a statement: %s (SQLSTATE %s)",
			ticketstore.ErrUnavailable, failure.Message, failure.Code)
	}
	return fmt.Errorf("%w: no PostgreSQL answers at %s", ticketstore.ErrUnavailable, place(config))
}
