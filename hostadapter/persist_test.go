package hostadapter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestPersist(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	unknown, answer := ticketstore.ErrUnavailable, errors.New("an answer")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithTimeout(t.Context(), 0)
	defer cancelLate()
	for name, test := range map[string]struct {
		ctx     context.Context
		answers []error
		want    error
		calls   int
	}{
		"success":        {t.Context(), []error{nil}, nil, 1},
		"a final answer": {t.Context(), []error{answer}, answer, 1},
		"an answer after lost answers": {
			t.Context(), []error{unknown, context.DeadlineExceeded, answer}, answer, 3,
		},
		"no answer": {
			t.Context(), []error{unknown, unknown, unknown, unknown, nil}, unknown, 4,
		},
		"the caller's context is cancelled": {gone, []error{context.Canceled, nil}, nil, 2},
		"the caller's deadline is exceeded": {
			late, []error{context.DeadlineExceeded, nil}, context.DeadlineExceeded, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			err := h.Tie().Persist(test.ctx, func(ctx context.Context) error {
				if calls++; calls > 1 && ctx.Err() != nil {
					t.Errorf("call %d: its context has ended", calls)
				}
				return test.answers[calls-1]
			})
			if !errors.Is(err, test.want) || calls != test.calls {
				t.Errorf("got %v after %d calls, want %v after %d", err, calls, test.want, test.calls)
			}
		})
	}
}

// If the bound of a repetition expires, the error is ErrUnavailable: the caller's deadline was not exceeded.
func TestPersistTimeout(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	first := true
	err := h.Tie().Persist(ctx, func(ctx context.Context) error {
		if first {
			first = false
			return ticketstore.ErrUnavailable
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if first || !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("got %v, want ticketstore.ErrUnavailable", err)
	}
}
