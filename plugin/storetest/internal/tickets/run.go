package tickets

import (
	"cmp"
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
	// WalkRows is how many rows are walked without a filter while rows are added and removed; 0 means Rows,
	// which walks with a filter use.
	WalkRows int
}

// Run checks the backend's ticket store.
func Run(t *testing.T, config Config) {
	open := func(t *testing.T, w *world.World) {
		stores := config.New(t)
		w.Tickets, w.Grants, w.Logout, w.Properties = stores.Tickets, stores.Grants, stores.Logout,
			stores.Properties
	}
	rows := cmp.Or(config.Rows, world.DefaultRows)
	world.Run(t, config.Rows, open, []world.Group{
		{Name: "create", Cases: createCases},
		{Name: "input", Cases: inputCases()},
		{Name: "limit", Cases: limitCases},
		{Rule: 9, Name: "renew", Cases: renewCases},
		{Rule: 10, Name: "new key", Cases: rekeyCases},
		{Rule: 5, Name: "queries", Cases: queryCases},
		{Rule: 5, Name: "pages", Cases: pagingCases},
		{Rule: 13, Name: "properties", Cases: propertyCases},
		{Rule: 5, Name: "pages under change", Cases: walkCases(cmp.Or(config.WalkRows, rows), rows)},
	})
}
