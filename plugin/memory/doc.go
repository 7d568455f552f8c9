// Package memory is a backend for those who write one: it keeps sessions, grants and notices in maps under one mutex, does all that the
// rules ask for, and takes part in moves to and from any other backend. It keeps nothing over a restart, and it looks at every row where a
// database would have an index: it is here to be read, and to show that the protocol needs no engine of ours.
//
// Rows are kept as they cross in a move (plugin/proto/sessions/records/v1/records.proto), encoded. So an export is the maps as they are,
// nobody shares memory with a caller, and undoing a change is putting the old bytes back.
//
//	store.go     the maps, and changes that happen as a whole or not at all, counted and journaled
//	record.go    rows to and from what callers speak of
//	judge.go     whether a grant lives: asked in every read and write
//	tickets.go   sessions are created, renewed and read
//	apply.go     batches of grants
//	grants.go    grants are read, removed and purged
//	ending.go    one session ends
//	endings.go   many do; jobs
//	notices.go   the queue
//	listing.go   pages
//	transfer.go  moves
package memory
