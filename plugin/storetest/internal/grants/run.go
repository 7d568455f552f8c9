package grants

import (
	"testing"

	"github.com/fosite-sessions/sessions/plugin/storetest/world"
)

// Config says how to open a backend.
type Config struct {
	// New returns an empty backend each time and cleans it up through t.Cleanup. It is called from parallel tests. Required.
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
		{Name: "get", Cases: getCases},
		{Name: "input", Cases: inputCases},
		{Name: "code", Cases: codeCases},
		{Name: "refresh", Cases: refreshCases},
		{Name: "batch", Cases: batchCases},
		{Name: "repeat", Cases: repeatCases},
		{Name: "session", Cases: sessionCases},
		{Name: "use", Cases: useCases},
		{Name: "slide", Cases: slideCases},
		{Name: "revoked", Cases: revokedCases},
		{Name: "survivors", Cases: survivorCases},
		{Name: "race", Cases: raceCases},
		{Name: "query", Cases: queryCases},
		{Name: "remove", Cases: removeCases},
		{Name: "purge", Cases: purgeCases},
	})
}
