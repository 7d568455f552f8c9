package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// sentinels are all identified errors of the domain.
var sentinels = map[string]error{
	"ErrNotFound": ticketstore.ErrNotFound, "ErrExists": ticketstore.ErrExists,
	"ErrConflict": ticketstore.ErrConflict,
	"ErrExpired":  ticketstore.ErrExpired, "ErrInvalid": ticketstore.ErrInvalid,
	"ErrResultsToken": ticketstore.ErrResultsToken,
	"ErrUnavailable":  ticketstore.ErrUnavailable, "ErrConsumed": grantstore.ErrConsumed,
	"ErrSessionEnded": grantstore.ErrSessionEnded,
	"ErrOutdated":     logout.ErrOutdated, "ErrNotConfigured": wire.ErrNotConfigured,
	"ErrConfigured": wire.ErrConfigured,
	"ErrNotOpened":  wire.ErrNotOpened, "ErrFenced": transfer.ErrFenced, "ErrState": transfer.ErrState,
	"ErrNotEmpty": transfer.ErrNotEmpty, "ErrJournal": transfer.ErrJournal,
	"ErrHosts": transfer.ErrHosts, "ErrOtherStore": ticketstore.ErrOtherStore,
	"Canceled": context.Canceled, "DeadlineExceeded": context.DeadlineExceeded,
}

const secret = "key 5f3c"

func TestErrorsKeepTheirIdentity(t *testing.T) {
	t.Parallel()
	wrapped := map[string]func(error) error{
		"bare":    func(err error) error { return err },
		"wrapped": func(err error) error { return fmt.Errorf("engine: %s: %w", secret, err) },
		"twice":   func(err error) error { return fmt.Errorf("a: %w", fmt.Errorf("b: %w", err)) },
		"joined":  func(err error) error { return errors.Join(errors.New(secret), err) },
	}
	for name, sentinel := range sentinels {
		for how, wrap := range wrapped {
			st, known := wire.Status(wrap(sentinel))
			if !known {
				t.Errorf("%s %s: not a known error", name, how)
			}
			got := wire.Error(st)
			for other, candidate := range sentinels {
				want := errors.Is(sentinel, candidate)
				if is := errors.Is(got, candidate); is != want {
					t.Errorf("%s %s: errors.Is(%v, %s) = %t, want %t", name, how, got, other, is, want)
				}
			}
			if strings.Contains(st.Error()+got.Error(), secret) {
				t.Errorf("%s %s: the engine's text was sent: %v", name, how, st)
			}
		}
	}
}

func TestFieldErrors(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"subject_id", ticketstore.FieldResultsToken} {
		sent := &ticketstore.FieldError{Field: field, Problem: "is longer than 512 bytes"}
		st, _ := wire.Status(fmt.Errorf("engine: %w", sent))
		got := wire.Error(st)
		var fieldError *ticketstore.FieldError
		if !errors.As(got, &fieldError) || *fieldError != *sent {
			t.Errorf("%s: got %v, want %v", field, got, sent)
		}
		if !errors.Is(got, ticketstore.ErrInvalid) ||
			errors.Is(got, ticketstore.ErrResultsToken) != (field == ticketstore.FieldResultsToken) {
			t.Errorf("%s: lost its sentinel", field)
		}
	}

	several := errors.Join(ticketstore.Invalidf("path", "is missing"),
		ticketstore.Invalidf("cache_mib", "is negative"))
	got := wire.Error(wire.ConfigureStatus(several))
	if want := several.Error(); got.Error() != want || !errors.Is(got, ticketstore.ErrInvalid) {
		t.Errorf("several fields: got %q, want %q", got, want)
	}
}

func TestConfigureKeepsTheText(t *testing.T) {
	t.Parallel()
	locked := errors.New("folder /data is in use by process 17")
	if got := wire.Error(wire.ConfigureStatus(locked)); !strings.Contains(got.Error(), locked.Error()) ||
		!errors.Is(got, wire.ErrNotOpened) {
		t.Errorf("got %q, want it to hold %q", got, locked)
	}
	down := fmt.Errorf("connect to db: %w", ticketstore.ErrUnavailable)
	if got := wire.Error(wire.ConfigureStatus(down)); got.Error() != down.Error() ||
		!errors.Is(got, ticketstore.ErrUnavailable) {
		t.Errorf("got %q, want %q", got, down)
	}
	long := errors.New(strings.Repeat("ä", 1<<20))
	if got := wire.Error(wire.ConfigureStatus(long)); len(got.Error()) > 8<<10 {
		t.Errorf("an error of 2 MiB was sent with %d bytes", len(got.Error()))
	}
}

// Only errors with our ErrorInfo are known: gRPC, a proxy or a faulty plugin must not imply a missing record.
func TestForeignErrors(t *testing.T) {
	t.Parallel()
	for code := codes.Code(1); code <= codes.Unauthenticated; code++ {
		got := wire.Error(status.Error(code, "something"))
		if got == nil {
			t.Errorf("%s: decoded as no error", code)
		}
		for name, sentinel := range sentinels {
			want := (name == "ErrUnavailable" && code == codes.Unavailable) ||
				(name == "Canceled" && code == codes.Canceled) ||
				(name == "DeadlineExceeded" && code == codes.DeadlineExceeded)
			if is := errors.Is(got, sentinel); is != want {
				t.Errorf("%s: errors.Is(%v, %s) = %t, want %t", code, got, name, is, want)
			}
		}
	}
	for _, lost := range []error{io.EOF, io.ErrUnexpectedEOF} {
		if got := wire.Error(lost); !errors.Is(got, ticketstore.ErrUnavailable) {
			t.Errorf("%v: got %v, want ErrUnavailable", lost, got)
		}
	}
}

func TestUnknownErrorsAreRedacted(t *testing.T) {
	t.Parallel()
	st, known := wire.Status(fmt.Errorf("cannot decode %s", secret))
	if known || status.Code(st) != codes.Internal || strings.Contains(st.Error(), secret) {
		t.Errorf("got known=%t, %v: want an internal error without the engine's text", known, st)
	}
	// ErrUnavailable has precedence over another wrapped sentinel.
	st, _ = wire.Status(fmt.Errorf("%w: %w", ticketstore.ErrNotFound, ticketstore.ErrUnavailable))
	if got := wire.Error(st); !errors.Is(got, ticketstore.ErrUnavailable) ||
		errors.Is(got, ticketstore.ErrNotFound) {
		t.Errorf("got %v, want only ErrUnavailable", got)
	}
}
