package admin

// A session's timeline.

import (
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// moment is an entry of the timeline.
type moment struct {
	What, ClientID string
	At             time.Time
}

// timelineOf returns the known events of a session in order: past ones, and future ones unless something
// happens first. For each client it has the first and the last use.
func timelineOf(report *hostadapter.SessionReport) (all []moment) {
	add := func(what, client string, at time.Time) {
		if !at.IsZero() {
			all = append(all, moment{What: what, ClientID: client, At: at})
		}
	}
	add("Authenticated", "", report.AuthTime)
	add("Signed in", "", report.Created)
	if report.Renewed.After(report.Created) {
		add("Last seen", "", report.Renewed)
	}
	for i := range report.Clients {
		client := &report.Clients[i]
		add("First used by", client.ClientID, client.FirstUsed)
		if client.LastUsed.After(client.FirstUsed) {
			add("Last used by", client.ClientID, client.LastUsed)
		}
	}
	add("Ends unless it is used", "", report.Expires)
	add("Ends in any case", "", report.EndsAt)
	slices.SortStableFunc(all, func(a, b moment) int { return a.At.Compare(b.At) })
	return all
}
