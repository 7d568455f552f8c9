// Package rules holds the decisions that every store makes. Each is given records and a moment, and returns a
// verdict, or changes the record that it was given. None reads or writes anything or asks for the time: an
// engine reads rows, asks, and writes rows.
//
//	session.go       what is live, creation, renewal, sliding, limits, clients' rows
//	grant.go         whether a grant is live, what a batch stores, what a removal takes
//	consumption.go   codes and refresh tokens are used, and used again
//	ending.go        what an ending does of a session, of its clients and of loose grants
//	job.go           endings of several steps
//	notification.go  the queue: claims, settlements, retries
//	retention.go     when records may go
//	listing.go       pages and their numbers
//	move.go          states of a store, and records that come from another one
//
// The rules themselves are in ARCHITECTURE.md; comments here cite them by number.
package rules
