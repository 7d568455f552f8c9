package tickets

// The groups of these cases.

import "github.com/fosite-sessions/sessions/plugin/storetest/world"

// Groups returns the cases of a ticket store. walkRows is the number of rows walked without a filter while
// rows are added and removed, rows the number walked with a filter.
func Groups(walkRows, rows int) []world.Group {
	return []world.Group{
		{Name: "create", Cases: createCases},
		{Name: "input", Cases: inputCases()},
		{Name: "limit", Cases: limitCases},
		{Rule: 9, Name: "renew", Cases: renewCases},
		{Rule: 10, Name: "new key", Cases: rekeyCases},
		{Rule: 5, Name: "queries", Cases: queryCases},
		{Rule: 5, Name: "pages", Cases: pagingCases},
		{Rule: 13, Name: "properties", Cases: propertyCases},
		{Rule: 5, Name: "pages under change", Cases: walkCases(walkRows, rows)},
	}
}
