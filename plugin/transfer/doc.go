// Package transfer moves the whole content of a store into another one while the first one serves (rule 12).
//
// A move takes these steps, each of which may be interrupted by a crash:
//
//  1. The source becomes Exporting: from that transaction on it journals the key of each changed or deleted
//     row, in the transaction of the change. The target, which must be empty, becomes Importing.
//  2. Export streams the source's rows to the target's Import. Then Changes returns, repeatedly, the rows
//     journaled since.
//  3. The source becomes Fenced: every write checks this in its transaction and fails with ErrFenced, and so
//     does every read if hosts share the store. The rest of the journal is applied.
//  4. Counts and sums of both stores (Status) are compared. They are updated by each change, so this needs no
//     scan.
//  5. The target becomes Active: this transaction is the switch. The source becomes Superseded.
//
// After a crash the Status of a store determines what to do (Recover). A Superseded store names its
// successor. For a Fenced store the target decides: if the move is its Origin, the move is complete;
// otherwise the source becomes Active again, as does an Exporting one. If hosts share both stores, the other
// hosts do the same on ErrFenced, unless the host that runs the move is still alive (Status.Moving). At any
// time every row is in one complete store, and at most one of the two takes writes.
//
// Records are moved unchanged, including versions and operation ids. The data of a record is the protobuf
// message of its kind in plugin/proto/sessions/records/v1/records.proto; it is not decoded between source and
// target.
package transfer
