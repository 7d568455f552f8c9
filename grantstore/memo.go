package grantstore

// What a shared result carries for who reads it, and the figures of a cache.

import "sync/atomic"

// Memo has a place for what a caller has made of a shared result, such as its data unsealed, so that it is
// made once. It lives as long as the result. A nil Memo, that of a result that is not shared, keeps nothing.
type Memo struct {
	value    atomic.Pointer[any]
	rejected atomic.Bool
}

// Load returns what was kept, nil where there is nothing. It must not be changed.
func (m *Memo) Load() any {
	if m == nil {
		return nil
	}
	if value := m.value.Load(); value != nil {
		return *value
	}
	return nil
}

// Keep keeps a value for those who come later. It must take no more memory than MemoSize.
func (m *Memo) Keep(value any) {
	if m != nil {
		m.value.Store(&value)
	}
}

// Reject says that the result is of no use: its data cannot be unsealed. It is asked for again.
func (m *Memo) Reject() {
	if m != nil {
		m.rejected.Store(true)
	}
}

// Rejected reports whether a caller has rejected the result.
func (m *Memo) Rejected() bool { return m != nil && m.rejected.Load() }

// MemoSize is what a cache counts for what is kept of a grant with data of a length, in bytes: the data
// unsealed, for which memory is given out in sizes up to an eighth larger, and what leads to it.
func MemoSize(data int) int { return data + data/8 + 256 }

// CacheFigures are what a cache of live access tokens has done since it was opened, and what it holds.
type CacheFigures struct {
	// Hits are questions that it has answered, Misses those that it has passed on.
	Hits   uint64
	Misses uint64
	// Unleased are those of the Misses of which there was a copy, and no lease to use it (Leases).
	Unleased uint64
	// Fills are tokens that it has taken from answers and from what was stored, Refusals those that it has
	// not, because a kill of them came while the answer was on its way.
	Fills    uint64
	Refusals uint64
	// Kills are commits that it was told of, Evictions tokens that went for want of room.
	Kills     uint64
	Evictions uint64
	// Drops is how often all of it was dropped, because the stream of kills ended or came too late.
	Drops uint64
	// Entries and Bytes are what it holds now; bytes are an estimate.
	Entries int
	Bytes   int64
}
