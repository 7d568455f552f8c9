package hostadapter

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// A backend that has been patient itself is not asked again: one timeout must not multiply the other.
func TestPersistIsOneBound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		timeout time.Duration
		calls   int
	}{
		"a backend that gives up at once":           {0, attempts},
		"a backend that waits half of the time":     {persistFor / 2, 2},
		"a backend that waits as long as we would":  {persistFor, 1},
		"a backend that waits longer than we would": {time.Minute, 1},
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
