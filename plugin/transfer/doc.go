// Package transfer says how the whole content of one store is moved into another while the first one serves.
//
// A move goes through these steps, each of which a crash may interrupt:
//
//  1. The target becomes Importing, which an empty store alone can, and the source Exporting: from that transaction on it journals the
//     key of each row that is changed or deleted, in the transaction that does it.
//  2. Export streams the source's rows to the target's Import, and Changes what the journal names since, again and again.
//  3. The source becomes Fenced: every write checks it in its transaction and is ErrFenced. The rest of the journal is applied.
//  4. Counts and sums of both stores (Status) are compared. Both are kept with each change, so that nothing is searched for them.
//  5. The target becomes Active: that one transaction is the switch. The source becomes Superseded.
//
// Who finds a store after a crash knows from its Status what to do. A Superseded store was left for the one that it names. Of a Fenced
// one the target says how far the move came: if the move is its Origin it was done; otherwise it was not, and the source becomes Active
// again, as it was. So does an Exporting one. So every row is in one complete store at any moment, and no more than one of the two takes
// writes.
//
// Records cross as they are, versions and operation ids included. What a record holds is the protobuf message that
// plugin/proto/sessions/records/v1/records.proto names for its kind; nobody between source and target needs to look into it.
package transfer
