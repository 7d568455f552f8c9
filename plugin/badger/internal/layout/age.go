package layout

// Ages of operations: index entries of the answers that are kept for a while.

import (
	"bytes"
	"math"
	"time"

	"github.com/fosite-sessions/sessions/plugin/records"
)

// Each call that changes something stores its answer, and an entry by age for each would be one more key.
// Instead the calls of one transaction share an entry: ages are rounded to seconds, and an entry has one
// operation in its key and the others of the same age in its value, separated by NUL (kv.Tx.Gather). Up to
// format 4 each operation had its own entry, with an unrounded time.

// OperationAge returns the key prefix of operations of an age.
func OperationAge(when int64) []byte { return Key(IndexOperationAge, TimeKey(nextSecond(when))) }

// OperationAgeKey returns the key of an entry for one operation.
func OperationAgeKey(when int64, id string) []byte { return Key(OperationAge(when), Last(id)) }

// nextSecond rounds a time in nanoseconds up, so that nothing is deleted too early.
func nextSecond(n int64) int64 {
	const second = int64(time.Second)
	switch rest := n % second; {
	case n > math.MaxInt64-second:
		return n
	case rest > 0:
		return n + second - rest
	default:
		return n - rest
	}
}

// OperationsOfAge parses an entry by age: the time, rounded as in OperationAge, and the operations.
func OperationsOfAge(k, value []byte) (when int64, ids [][]byte, err error) {
	at, first, err := SplitTimed(k, len(IndexOperationAge))
	if err != nil {
		return 0, nil, err
	}
	ids = [][]byte{first}
	if len(value) > 0 {
		ids = append(ids, bytes.Split(value, []byte{0})...)
	}
	return nextSecond(records.Nanos(at)), ids, nil
}
