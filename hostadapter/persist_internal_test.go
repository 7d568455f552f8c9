package hostadapter

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// If a backend has already retried for that long, the call is not repeated: the timeouts must not multiply.
func TestPersistDoesNotMultiplyTimeouts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		timeout time.Duration
		calls   int
	}{
		"a backend that fails immediately":           {0, attempts},
		"a backend that waits half of our bound":     {persistFor / 2, 2},
		"a backend that waits for our bound":         {persistFor, 1},
		"a backend that waits longer than our bound": {time.Minute, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				err := persist(t.Context(), func(ctx context.Context) error {
					calls++
					timer := time.NewTimer(test.timeout)
					defer timer.Stop()
					select {
					case <-timer.C:
					case <-ctx.Done():
					}
					return ticketstore.ErrUnavailable
				})
				if !errors.Is(err, ticketstore.ErrUnavailable) || calls != test.calls {
					t.Errorf("got %v after %d calls, want ticketstore.ErrUnavailable after %d", err, calls,
						test.calls)
				}
			})
		})
	}
}
