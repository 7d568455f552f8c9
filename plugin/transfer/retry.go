package transfer

// Retries of calls while a store is unavailable.

import (
	"context"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// retryTimeout is how long a store may be unavailable, for example while its plugin restarts; pause is
	// the time between two attempts.
	retryTimeout = 30 * time.Second
	pause        = 50 * time.Millisecond
)

func statusOf(ctx context.Context, store Store) (status *Status, err error) {
	err = retry(ctx, func() (err error) {
		status, err = store.Status(ctx)
		return err
	})
	return status, err
}

// Retryable reports whether a retry on the same store can have a different outcome: the error is
// ticketstore.ErrUnavailable, but neither ErrFenced nor ticketstore.ErrNoSpace.
func Retryable(err error) bool {
	return errors.Is(err, ticketstore.ErrUnavailable) && !errors.Is(err, ErrFenced) &&
		!errors.Is(err, ticketstore.ErrNoSpace)
}

// retry repeats f while a store is unavailable, for example while its process restarts.
func retry(ctx context.Context, f func() error) error {
	deadline := time.Now().Add(retryTimeout)
	for {
		err := f()
		if !Retryable(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}
