// Package memory is the reference backend, small enough to be read in one sitting: it implements all rules
// and takes part in moves to and from any other backend. Its data is lost at a restart. It is the easiest
// backend to start a host with, and a model for authors of backends.
//
// All rows are in one ordered tree under one mutex, along with index entries like those of a database.
// Decisions are made in package rules: the methods here find rows, call a rule, and write rows.
//
//	store.go     the store and its transactions
//	rows.go      the tree: rows, indexes, counts and the journal of changes
//	sessions.go  creation, renewal, reading and pages of sessions; properties
//	grants.go    judging, reading, removal and purge of grants
//	batch.go     batches of grants
//	endings.go   ends of sessions; jobs; sweeps and purges
//	queue.go     notifications
//	transfer.go  moves
package memory
