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
	// attempts bounds how often a call with an unknown outcome, or one that lost a race, is made.
	attempts = 4
	// retryPause is the pause before the first repetition; each further one is twice as long.
	retryPause = 50 * time.Millisecond
	// persistFor bounds the repetitions: none begins later than this after the first call. A backend that
	// repeats calls on its own, as a plugin's client does, uses that time up, so that its timeout and ours do
	// not multiply.
	persistFor = 5 * time.Second
)

// persist makes a call to a store and repeats it while its outcome is unknown: the store could not be
// reached, or time ran out. It repeats a few times, and a few seconds at most. The call must change nothing
// the second time, as a batch with an operation id. Repetitions go on after ctx was canceled, for the call
// may have been carried out, but not past the deadline of ctx.
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

// apply applies a batch, again while its outcome is unknown.
func (a *Adapter) apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (result *grantstore.Result, err error) {
	err = persist(ctx, func(ctx context.Context) (err error) {
		result, err = a.config.Backend.Grants().Apply(ctx, batch, now)
		return err
	})
	return result, err
}

// retryable reports whether asking again may help.
func retryable(err error) bool { return IsUnavailable(err) && !errors.Is(err, ticketstore.ErrNoSpace) }

func again(ctx context.Context, deadline time.Time, call func(ctx context.Context) error) error {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	err := call(ctx)
	if IsUnavailable(err) && !errors.Is(err, ticketstore.ErrUnavailable) {
		// The time that ran out is ours, not the caller's.
		return fmt.Errorf("%w: %w", ticketstore.ErrUnavailable, err)
	}
	return err
}

// IsUnavailable reports whether an error leaves it open what a store would have answered, so that trying
// again later may help. A call that ran out of time may not have been answered.
func IsUnavailable(err error) bool {
	return errors.Is(err, ticketstore.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled)
}
