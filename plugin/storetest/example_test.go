package storetest_test

import (
	"testing"

	"github.com/fosite-sessions/sessions/plugin/storetest"
)

// In a backend's test file.
func Example() {
	_ = func(t *testing.T) {
		storetest.Run(t, storetest.Config{New: func(*testing.T) storetest.Fixture {
			return storetest.Fixture{} // your stores, empty, to be closed by t.Cleanup
		}})
	}
}
