// Package transfer moves the whole content of one store into another while the first one serves (rule 12).
//
// A move takes these steps. A crash may interrupt each of them:
//
//  1. The source becomes Exporting: from that transaction on it journals the key of each row that is changed
//     or deleted, in the transaction that does it. The target, which must be empty, becomes Importing.
//  2. Export streams the source's rows to the target's Import. Changes repeatedly returns the rows that the
//     journal names since.
//  3. The source becomes Fenced: every write checks this in its transaction and is ErrFenced, and so is every
//     read where hosts share the store. The rest of the journal is applied.
//  4. Counts and sums of both stores (Status) are compared. Each change updates them, so this needs no scan.
//  5. The target becomes Active: this transaction is the switch. The source becomes Superseded.
//
// After a crash the Status of a store says what to do. A Superseded store names the one that replaced it. For
// a Fenced one the target decides: if the move is its Origin, the move was done; otherwise the source becomes
// Active again, as does an Exporting one (Recover). Where hosts share both stores the other hosts do the same
// on an ErrFenced, and leave a move that goes on to the one that carries it out (Status.Moving). At any time
// every row is in one complete store, and at most one of the two takes writes.
//
// Records cross unchanged, versions and operation ids included. The data of a record is the protobuf message
// that plugin/proto/sessions/records/v1/records.proto names for its kind; nothing between source and target
// reads it.
package transfer
