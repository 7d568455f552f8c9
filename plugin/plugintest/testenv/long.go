package testenv

// The duration of repeated tests.

import (
	"os"
	"testing"
)

// longEnv makes repeated tests repeat often enough to find rare failures.
const longEnv = "SESSIONS_TEST_LONG"

// Long reports whether longEnv is set.
func Long() bool { return os.Getenv(longEnv) != "" }

// SkipRace skips a test under the race detector, which would find nothing new there.
func SkipRace(t testing.TB, why string) {
	t.Helper()
	if Race {
		t.Skip("not under the race detector: " + why)
	}
}
