package layout

// Ages of operations: entries that lead to what a transaction has kept for a while.

import (
	"bytes"
	"math"
	"time"

	"github.com/fosite-sessions/sessions/plugin/records"
)

// Each call that changes something keeps its answer, and an entry by age would be one more key of each. The
// calls of one transaction share an entry instead: ages are counted in whole seconds, and an entry has one
// operation in its key and others of the same age in its value, with a NUL between them (kv.Tx.Gather). Up to
// version 4 it had one, at a moment that was not rounded.

// OperationAge begins the keys of entries by the age of an operation.
func OperationAge(when int64) []byte { return Key(IndexOperationAge, TimeKey(nextSecond(when))) }

// OperationAgeKey is the key of an entry of that operation alone.
func OperationAgeKey(when int64, id string) []byte { return Key(OperationAge(when), Last(id)) }

// nextSecond rounds a moment in nanoseconds up: nothing is forgotten before it is old enough.
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

// OperationsOfAge takes apart an entry by age: the moment, as OperationAge has it, and the operations.
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
