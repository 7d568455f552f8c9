// Package badger is the embedded storage engine: sessions, grants, ended records and the queue of logout
// notifications in one Badger database, owned by one process.
//
// All writes go through one committer (internal/kv/committer.go), which puts the changes that are waiting
// into one transaction. As it is the only writer, a change sees every change before it and none beside it:
// that is what makes each rule that spans several rows hold. Reads use snapshots of their own and never wait
// for it.
//
// What a grant may do is judged when it is read (judge.go), by the session or the ended record that its
// session left behind, so that a session with any number of grants ends in one small transaction. The rows of
// dead grants are removed afterwards (purge.go).
//
// The layout of the keys, with the format's version, is in internal/layout/keys.go. Records are protobuf
// messages: those that move with a store are plugin/records, the others internal/recordpb. The files here are
// in the order of the layout:
//
//	sessions.go sessionquery.go            sessions, their clients and counts
//	ending.go jobbatch.go thin.go removal.go  ended records: how sessions end, one or many
//	due.go limit.go                        sessions that end because they fell due, or are too many
//	grants.go families.go judge.go apply.go    grants and families
//	used.go grantquery.go grantremoval.go purge.go
//	jobs.go resume.go                      endings of several steps
//	queue.go claim.go deliveries.go retry.go   notifications
//	properties.go                          what the host keeps
//	importing.go                           all of them, as they come in a move
//
// A write that fails is the last thing that an engine does (Engine.Failed): after an error of a commit, a
// sync, a flush or a compaction it answers nothing more, reads neither, because what it knows may not be on
// the disk. Open syncs the files that Badger appends to and reads them from the disk. The first byte of the
// file UNFINISHED says whether tables were being written: the next Open then looks after the manifest.
package badger
