// Package kv is an open Badger database with a single writer.
//
// A DB provides snapshots (View) and commits changes (Commit). All changes go through its committer
// (committer.go), which applies the waiting changes one after another to one transaction (group.go, tx.go)
// with one sync. Along with the rows, a transaction writes the store's metadata (metadata.go): its state in a
// move, the journal of changes (journal.go), and the count and sum of each kind of records. Recently used
// rows are cached in memory (recent.go). Scans of indexes that are used as queues skip their tombstones
// (tombstones.go, walk.go).
//
// A failed write is final for a DB (failure.go): its memory may differ from the disk. Badger only logs
// failures of its background work (log.go), and drops some (compaction.go).
//
// This package is independent of the domain: the rows are defined in package layout.
package kv
