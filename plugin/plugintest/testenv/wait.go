package testenv

// Waiting for a condition, with a deadline.

import (
	"context"
	"testing"
	"time"
)

// Patience is how long a test waits for what must come, on a machine that is busy with other tests.
const Patience = time.Minute

// Eventually waits until a condition holds, and ends the test when that takes longer than Patience.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up after %v waiting until %s", Patience, what)
		}
	}
}

// Patient returns a context that ends with the test or after Patience. With it a store that was just closed
// is opened again however busy the tests are: a process that another one is starting has a copy of its lock
// until it runs its program, and an opening that has a deadline waits for that.
func Patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(cancel)
	return ctx
}
