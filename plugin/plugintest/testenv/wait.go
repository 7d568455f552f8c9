package testenv

// Waiting for a condition, with a deadline.

import (
	"context"
	"testing"
	"time"
)

// Patience is the deadline of a test's waits, long enough for a busy machine.
const Patience = time.Minute

// Eventually waits until a condition holds, and fails the test after Patience.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up after %v waiting until %s", Patience, what)
		}
	}
}

// Patient returns a context that ends with the test or after Patience. With it a store that was just closed
// can be reopened on a busy machine: a process being started has a copy of the store's lock until it executes
// its program, and opening with a deadline waits for that.
func Patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(cancel)
	return ctx
}
