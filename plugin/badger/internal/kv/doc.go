// Package kv is an open Badger database with one writer.
//
// A DB gives snapshots (View) and commits changes (Commit). All changes go through its committer
// (committer.go), which applies those that are waiting one after another to one transaction (group.go,
// tx.go), and so with one sync. Beside the rows a transaction writes what the store keeps of itself
// (metadata.go): its state in a move, the journal of changes (journal.go), and the count and sum of each kind
// of records. Rows that were used lately are kept in memory (recent.go). Scans of indexes that are used as
// queues pass the tombstones in them (tombstones.go, walk.go).
//
// A write that fails is the last thing that a DB does (failure.go): what it has in memory may not be on the
// disk. Badger only logs failures in the background (log.go), and drops some (compaction.go).
//
// Nothing here knows what a session or a grant is. Which rows there are, package layout says.
package kv
