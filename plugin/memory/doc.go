// Package memory is the reference backend: small enough to be read in one sitting, it does all that the rules ask for, and takes part in
// moves to and from any other backend. It keeps nothing over a restart. It is where a host starts, and where whoever writes a backend looks
// what one has to do.
//
// All rows are in one ordered tree, under one mutex, with entries that lead to them as the indexes of a database would. What is decided is
// decided in package rules: the methods here find rows, ask, and write rows.
//
//	store.go     the store, and changes that happen as a whole or not at all
//	rows.go      the tree: rows and indexes; counts and the journal of a move
//	listing.go   pages
//	sessions.go  sessions are created, renewed and read; properties
//	batch.go     batches of grants
//	grants.go    grants are judged, read, removed and purged
//	ending.go    one session ends
//	jobs.go      many do; what is due
//	queue.go     notifications
//	transfer.go  moves
package memory
