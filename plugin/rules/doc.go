// Package rules holds the decisions that every store makes. Each function takes records and a time, and
// returns a verdict or changes the given record. None does I/O or reads a clock: an engine reads rows, calls
// a rule, and writes rows.
//
//	session.go       liveness, creation, renewal, sliding, limits, rows of clients
//	grant.go         liveness of grants, what a batch stores and a removal deletes
//	consumption.go   use and reuse of codes and refresh tokens
//	ending.go        effect of an ending on a session, its clients and unbound grants
//	job.go           endings of several steps
//	notification.go  the queue: settlements, retries
//	round.go         the queue: claims
//	retention.go     when records may be deleted
//	listing.go       pages and their numbers
//	kill.go          which changes kill copies of access tokens
//	move.go          states of a store, and records imported from another store
//	fault.go         faults of single records
//
// The rules themselves are in ARCHITECTURE.md; comments here cite them by number.
package rules
