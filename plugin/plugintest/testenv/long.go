package testenv

// How long repeated tests take.

import (
	"os"
	"testing"
)

// longEnv has every repeated test repeat as often as it takes to find what happens seldom.
const longEnv = "SESSIONS_TEST_LONG"

// Long reports whether tests are to take their time.
func Long() bool { return os.Getenv(longEnv) != "" }

// SkipRace skips a test under the race detector, which sees nothing there that it does not see elsewhere.
func SkipRace(t testing.TB, why string) {
	t.Helper()
	if Race {
		t.Skip("not under the race detector: " + why)
	}
}
