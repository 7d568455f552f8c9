package grants

// The groups of these cases.

import "github.com/fosite-sessions/sessions/plugin/storetest/world"

// Groups returns the cases of a grant store.
var Groups = []world.Group{
	{Rule: 2, Name: "get", Cases: getCases},
	{Name: "input", Cases: inputCases},
	{Rule: 3, Name: "code", Cases: codeCases},
	{Rule: 3, Name: "refresh", Cases: refreshCases},
	{Rule: 3, Name: "batch", Cases: batchCases},
	{Rule: 3, Name: "repeated operations", Cases: repeatCases},
	{Rule: 2, Name: "grants of a session", Cases: sessionCases},
	{Rule: 15, Name: "session times in answers", Cases: toldCases},
	{Name: "use by clients", Cases: useCases},
	{Rule: 9, Name: "slide", Cases: slideCases},
	{Rule: 1, Name: "revoked in a kept session", Cases: revokedCases},
	{Rule: 2, Name: "survivors", Cases: survivorCases},
	{Rule: 2, Name: "races", Cases: raceCases},
	{Rule: 5, Name: "queries", Cases: queryCases},
	{Rule: 5, Name: "grants stored together", Cases: togetherCases},
	{Rule: 6, Name: "removal of grants", Cases: removeCases},
	{Rule: 3, Name: "purge", Cases: purgeCases},
}
