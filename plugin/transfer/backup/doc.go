// Package backup keeps the whole content of a store in one file, and makes a store of it again.
//
// A file is a line that says what it is, and frames. A frame is a byte that names its type, the length of its payload (four bytes,
// big-endian), the payload, and 32 bytes of SHA-256 over the sum of the frame before, the type, the length and the payload. The first frame is
// the header and the last one the summary, both JSON; those in between hold records. So a file that is cut short, put together differently
// or changed anywhere is ErrDamaged. The sums tell accidents: they are no signature.
//
//	H  header: what was backed up, and when
//	R  records, one after the other: kind (one byte), length of the key, key, length of the data, data; lengths are unsigned varints
//	S  summary: count and sum of each kind of records
//
// The records are one snapshot of the store, which serves on meanwhile and is not changed. They are as in a move (package transfer): what the
// host has sealed stays sealed, keys are hashes. A file tells who is signed in where all the same: keep it like the store.
package backup
