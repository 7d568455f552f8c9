package tickettest_test

import (
	"testing"

	"github.com/fosite-sessions/sessions/ticketstore/tickettest"
)

// In a test file of a backend.
func Example() {
	_ = func(t *testing.T) {
		tickettest.Run(t, tickettest.Config{New: func(*testing.T) tickettest.Stores {
			return tickettest.Stores{} // your stores, empty, to be closed by t.Cleanup
		}})
	}
}
