package grants

import (
	"testing"

	"github.com/fosite-sessions/sessions/plugin/storetest/world"
)

// Config is how to open a backend.
type Config struct {
	// New returns an empty backend each time and cleans it up through t.Cleanup. It is called from parallel
	// tests. Required.
	New func(t *testing.T) world.Stores
	// Rows is how many rows the larger cases use; 0 means 300. More take longer and find more.
	Rows int
}

// Run checks the backend's grant store.
func Run(t *testing.T, config Config) {
	open := func(t *testing.T, w *world.World) {
		stores := config.New(t)
		w.Tickets, w.Grants, w.Logout = stores.Tickets, stores.Grants, stores.Logout
	}
	world.Run(t, config.Rows, open, []world.Group{
		{Rule: 2, Name: "get", Cases: getCases},
		{Name: "input", Cases: inputCases},
		{Rule: 3, Name: "code", Cases: codeCases},
		{Rule: 3, Name: "refresh", Cases: refreshCases},
		{Rule: 3, Name: "batch", Cases: batchCases},
		{Rule: 3, Name: "repeated operations", Cases: repeatCases},
		{Rule: 2, Name: "grants of a session", Cases: sessionCases},
		{Name: "use by clients", Cases: useCases},
		{Rule: 9, Name: "slide", Cases: slideCases},
		{Rule: 1, Name: "revoked in a kept session", Cases: revokedCases},
		{Rule: 2, Name: "survivors", Cases: survivorCases},
		{Rule: 2, Name: "races", Cases: raceCases},
		{Rule: 5, Name: "queries", Cases: queryCases},
		{Rule: 6, Name: "removal of grants", Cases: removeCases},
		{Rule: 3, Name: "purge", Cases: purgeCases},
	})
}
