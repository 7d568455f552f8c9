package testenv

// Waiting for a condition, with a deadline.

import (
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
