package world

// Assertions that end a case.

import (
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Err returns only the error of a call.
func Err[T any](_ T, err error) error { return err }

// OK ends the case if err is not nil.
func (w *World) OK(err error, doing string) {
	w.Helper()
	if err != nil {
		w.Fatalf("%s: got %v, want no error", doing, err)
	}
}

// Fails ends the case if err is none of the targets.
func (w *World) Fails(err error, doing string, targets ...error) {
	w.Helper()
	for _, target := range targets {
		if errors.Is(err, target) {
			return
		}
	}
	w.Fatalf("%s: got error %v, want %v", doing, err, targets)
}

// Refuses ends the case if err is not a FieldError that names the field.
func (w *World) Refuses(err error, field, doing string) {
	w.Helper()
	var fieldError *ticketstore.FieldError
	if !errors.As(err, &fieldError) {
		w.Fatalf("%s: got error %v, want a FieldError that names %s", doing, err, field)
	}
	if fieldError.Field != field {
		w.Fatalf("%s: the FieldError names %s, want %s: %v", doing, fieldError.Field, field, err)
	}
	if !errors.Is(err, ticketstore.ErrInvalid) {
		w.Fatalf("%s: %v is not ErrInvalid", doing, err)
	}
}

// RefusesToken ends the case if err is not the FieldError of an invalid results token.
func (w *World) RefusesToken(err error, doing string) {
	w.Helper()
	w.Fails(err, doing, ticketstore.ErrResultsToken)
	w.Refuses(err, ticketstore.FieldResultsToken, doing)
}

// Same ends the case if got is not want. Empty equals nil, and times in different locations are compared as
// times.
func (w *World) Same(got, want any, what string) {
	w.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		w.Fatalf("%s is not as expected (-want +got):\n%s", what, diff)
	}
}

// At ends the case if got is not the same time as want, or is not in UTC.
func (w *World) At(got, want time.Time, what string) {
	w.Helper()
	if !got.Equal(want) {
		w.Fatalf("%s: got %v, want %v", what, got, want)
	}
	if !got.IsZero() && got.Location() != time.UTC {
		w.Fatalf("%s: got a moment in %v, want UTC", what, got.Location())
	}
}

// OneWins ends the case unless exactly one of a race's errors is nil and each of the others is the target. It
// returns the winner.
func (w *World) OneWins(errs []error, target error, doing string) int {
	w.Helper()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			w.Fatalf("%s: both %d and %d succeeded, want exactly one", doing, winner, i)
		case err == nil:
			winner = i
		default:
			w.Fails(err, doing, target)
		}
	}
	if winner < 0 {
		w.Fatalf("%s: none of %d succeeded, want exactly one", doing, len(errs))
	}
	return winner
}
