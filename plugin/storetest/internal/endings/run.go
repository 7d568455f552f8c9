package endings

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

// Run checks the backend's logout store.
func Run(t *testing.T, config Config) {
	open := func(t *testing.T, w *world.World) {
		stores := config.New(t)
		w.Tickets, w.Grants, w.Logout = stores.Tickets, stores.Grants, stores.Logout
	}
	world.Run(t, config.Rows, open, []world.Group{
		{Name: "end", Cases: endCases},
		{Name: "subject", Cases: subjectCases},
		{Name: "all", Cases: allCases},
		{Name: "job", Cases: jobCases},
		{Name: "input", Cases: inputCases},
		{Name: "flags", Cases: flagCases},
		{Name: "clients", Cases: clientCases},
		{Name: "listed", Cases: listedCases},
		{Name: "muted", Cases: mutedCases},
		{Name: "repeat", Cases: repeatCases},
		{Name: "race", Cases: raceCases},
		{Name: "notice", Cases: noticeCases},
		{Name: "due", Cases: dueCases},
		{Name: "sweep", Cases: sweepCases},
		{Name: "claim", Cases: claimCases},
		{Name: "turns", Cases: turnCases},
		{Name: "settle", Cases: settleCases},
		{Name: "retry", Cases: retryCases},
		{Name: "deliveries", Cases: deliveryCases},
	})
}
