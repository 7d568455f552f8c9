// Package memory is the reference backend, small enough to be read in one sitting: it does all that the rules
// ask for, and takes part in moves to and from any other backend. It keeps nothing over a restart. A host may
// start with it, and who writes a backend finds here what one has to do.
//
// All rows are in one ordered tree, under one mutex, with entries that lead to them as the indexes of a
// database would. What is decided is decided in package rules: the methods here find rows, ask, and write
// rows.
//
//	store.go     the store, and changes that happen as a whole or not at all
//	rows.go      the tree: rows, indexes, and the count and journal of what changes
//	sessions.go  sessions are created, renewed and read; pages; properties
//	grants.go    grants are judged, read, removed and purged
//	batch.go     batches of grants
//	endings.go   sessions end; jobs; what is due
//	queue.go     notifications
//	transfer.go  moves
package memory
