package hostadapter

// Retries of store calls whose outcome is unknown (rule 3).

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// attempts bounds the attempts of a call that has an unknown outcome or lost a race.
	attempts = 4
	// retryPause is the delay before the first retry; it doubles for each further one.
	retryPause = 50 * time.Millisecond
	// persistFor bounds the retries: none begins later than this after the first call. A backend that retries
	// by itself, such as a plugin's client, uses up this time, so that its timeout and ours do not multiply.
	persistFor = 5 * time.Second
)

// persist makes a store call and retries it while its outcome is unknown because the store was unreachable or
// timed out, a few times and for a few seconds at most. The call must be idempotent, such as a batch with an
// operation id. Retries continue after ctx is canceled, because the call may have been applied, but not past
// the deadline of ctx.
func persist(ctx context.Context, call func(ctx context.Context) error) error {
	deadline := time.Now().Add(persistFor)
	if own, ok := ctx.Deadline(); ok && own.Before(deadline) {
		deadline = own
	}
	err := call(ctx)
	for try, pause := 1, retryPause; try < attempts && retryable(err) &&
		time.Now().Add(pause).Before(deadline); try, pause = try+1, 2*pause {
		time.Sleep(pause)
		err = again(ctx, deadline, call)
	}
	return err
}

// apply applies a batch, and retries while its outcome is unknown.
func (a *Adapter) apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (result *grantstore.Result, err error) {
	err = persist(ctx, func(ctx context.Context) (err error) {
		result, err = a.config.Backend.Grants().Apply(ctx, batch, now)
		return err
	})
	return result, err
}

// retryable reports whether a retry may succeed.
func retryable(err error) bool { return IsUnavailable(err) && !errors.Is(err, ticketstore.ErrNoSpace) }

func again(ctx context.Context, deadline time.Time, call func(ctx context.Context) error) error {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	err := call(ctx)
	if IsUnavailable(err) && !errors.Is(err, ticketstore.ErrUnavailable) {
		// The deadline that passed is ours, not the caller's.
		return fmt.Errorf("%w: %w", ticketstore.ErrUnavailable, err)
	}
	return err
}

// IsUnavailable reports whether an error leaves the outcome of a store call unknown, so that a later retry
// may succeed. A call that timed out may have been applied.
func IsUnavailable(err error) bool {
	return errors.Is(err, ticketstore.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled)
}
