// Package badger is the embedded storage engine: sessions, grants, ended records and the queue of logout
// notifications in one Badger database, owned by one process.
//
// All writes go through one committer (internal/kv/committer.go), which batches waiting changes into one
// transaction. As it is the only writer, a change sees every earlier change and runs concurrently with none:
// this makes every rule that spans several rows hold. Reads use their own snapshots and never wait for the
// committer.
//
// A grant is judged when it is read (judge.go), by its session or the ended record of its session, so that a
// session with any number of grants ends in one small transaction. The rows of dead grants are removed
// afterwards (purge.go).
//
// The layout of the keys and the version of the format are in internal/layout/keys.go. Records are protobuf
// messages: those that move with a store are in plugin/records, the others in internal/recordpb. The files
// are, in the order of the layout:
//
//	sessions.go sessionquery.go            sessions, their clients and counts
//	ending.go jobbatch.go byparts.go removal.go
//	                                       ended records: ends of one or many sessions
//	due.go limit.go                        ends of expired or excess sessions
//	grants.go families.go judge.go apply.go    grants and families
//	used.go grantquery.go grantremoval.go purge.go
//	jobs.go resume.go                      endings of several steps
//	queue.go claim.go deliveries.go retry.go   notifications
//	properties.go                          properties of the host
//	importing.go                           all of them, imported by a move
//
// A failed write is final (Engine.Failed): after an error of a commit, a sync, a flush or a compaction the
// engine answers nothing more, including reads, because its memory may differ from the disk. Open syncs the
// files that Badger appends to before it reads them. The first byte of the file UNFINISHED records whether
// tables were being written: if so, the next Open checks the manifest.
package badger
