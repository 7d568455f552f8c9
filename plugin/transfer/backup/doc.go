// Package backup writes the whole content of a store to a file, and restores a store from it.
//
// A file is a magic line followed by frames. A frame is a type byte, the length of its payload (four bytes,
// big-endian), the payload, and the SHA-256 of the previous frame's sum, the type, the length and the
// payload. The first frame is the header and the last one the summary, both in JSON; those in between hold
// records. A file that is truncated, reordered or changed anywhere is ErrDamaged. The sums detect accidents;
// they are not a signature.
//
//	H  header: what was backed up, and when
//	R  records, each: kind (one byte), length of the key, key, length of the data, data;
//	   lengths are unsigned varints
//	S  summary: count and sum of each kind of records
//
// The records are one snapshot of the store, which keeps serving and is not changed. They are as in a move
// (package transfer): what the host has sealed stays sealed, keys are hashes. A file still shows who is
// signed in: protect it like the store.
package backup
