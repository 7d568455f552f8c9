package grantstore

// Memo: a value cached along with a shared result; and the metrics of a cache.

import "sync/atomic"

// Memo holds a value that a caller derived from a shared result, such as its unsealed data, so that it is
// derived once. It lives as long as the result. A nil Memo, that of an unshared result, keeps nothing.
type Memo struct {
	value    atomic.Pointer[any]
	rejected atomic.Bool
}

// Load returns the kept value, or nil. It must not be modified.
func (m *Memo) Load() any {
	if m == nil {
		return nil
	}
	if value := m.value.Load(); value != nil {
		return *value
	}
	return nil
}

// Keep stores a value for later readers. It must take no more memory than MemoSize.
func (m *Memo) Keep(value any) {
	if m != nil {
		m.value.Store(&value)
	}
}

// Reject marks the result as unusable because its data cannot be unsealed. It is then read again.
func (m *Memo) Reject() {
	if m != nil {
		m.rejected.Store(true)
	}
}

// Rejected reports whether a caller has rejected the result.
func (m *Memo) Rejected() bool { return m != nil && m.rejected.Load() }

// MemoSize is the size in bytes that a cache accounts for the memo of a grant with data bytes of data: the
// unsealed data, allocated in size classes up to an eighth larger, and the structures that refer to it.
func MemoSize(data int) int { return data + data/8 + 256 }

// CacheFigures are counters of a cache of live access tokens since it was opened, and its current size.
type CacheFigures struct {
	// Hits counts the reads answered from the cache, Misses those passed on to the store.
	Hits   uint64
	Misses uint64
	// Unleased counts the Misses for which there was a copy but no lease to use it (Leases).
	Unleased uint64
	// Fills counts tokens added from answers and from stored batches, Refusals tokens not added because they
	// were killed while the answer was in flight.
	Fills    uint64
	Refusals uint64
	// Kills counts commits received, Evictions tokens evicted for lack of room.
	Kills     uint64
	Evictions uint64
	// Drops counts how often the whole cache was dropped because the stream of kills ended or was late.
	Drops uint64
	// Entries and Bytes are the current size; Bytes is an estimate.
	Entries int
	Bytes   int64
}
