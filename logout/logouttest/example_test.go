package logouttest_test

import (
	"testing"

	"github.com/fosite-sessions/sessions/logout/logouttest"
	"github.com/fosite-sessions/sessions/ticketstore/tickettest"
)

// In a test file of a backend.
func Example() {
	_ = func(t *testing.T) {
		logouttest.Run(t, logouttest.Config{New: func(*testing.T) tickettest.Stores {
			return tickettest.Stores{} // your stores, empty, to be closed by t.Cleanup
		}})
	}
}
