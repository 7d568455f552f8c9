package endings

// The groups of these cases.

import "github.com/fosite-sessions/sessions/plugin/storetest/world"

// Groups returns the cases of a logout store.
var Groups = []world.Group{
	{Rule: 1, Name: "end", Cases: endCases},
	{Rule: 6, Name: "subject", Cases: subjectCases},
	{Rule: 6, Name: "all sessions", Cases: allCases},
	{Rule: 1, Name: "jobs", Cases: jobCases},
	{Rule: 6, Name: "input", Cases: inputCases},
	{Rule: 6, Name: "flags", Cases: flagCases},
	{Rule: 6, Name: "clients", Cases: clientCases},
	{Rule: 6, Name: "sessions listed", Cases: listedCases},
	{Rule: 7, Name: "muted clients", Cases: mutedCases},
	{Rule: 7, Name: "current registrations of clients", Cases: registeredCases},
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
}
