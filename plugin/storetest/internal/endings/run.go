package endings

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

// Run checks the backend's logout store.
func Run(t *testing.T, config Config) {
	open := func(t *testing.T, w *world.World) {
		stores := config.New(t)
		w.Tickets, w.Grants, w.Logout = stores.Tickets, stores.Grants, stores.Logout
	}
	world.Run(t, config.Rows, open, []world.Group{
		{Rule: 1, Name: "end", Cases: endCases},
		{Rule: 6, Name: "subject", Cases: subjectCases},
		{Rule: 6, Name: "all sessions", Cases: allCases},
		{Rule: 1, Name: "jobs", Cases: jobCases},
		{Rule: 6, Name: "input", Cases: inputCases},
		{Rule: 6, Name: "flags", Cases: flagCases},
		{Rule: 6, Name: "clients", Cases: clientCases},
		{Rule: 6, Name: "sessions listed", Cases: listedCases},
		{Rule: 7, Name: "muted clients", Cases: mutedCases},
		{Rule: 3, Name: "repeated operations", Cases: repeatCases},
		{Rule: 1, Name: "races", Cases: raceCases},
		{Rule: 7, Name: "notifications", Cases: notificationCases},
		{Rule: 8, Name: "expiry", Cases: dueCases},
		{Rule: 8, Name: "sweeps", Cases: sweepCases},
		{Rule: 7, Name: "claims", Cases: claimCases},
		{Rule: 7, Name: "round robin", Cases: turnCases},
		{Rule: 7, Name: "settlement", Cases: settleCases},
		{Rule: 7, Name: "retries", Cases: retryCases},
		{Rule: 5, Name: "notifications queried", Cases: queryCases},
	})
}
