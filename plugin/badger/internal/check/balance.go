package check

// Comparison of two large sets of entries in constant memory.

import (
	"bytes"
	"hash/maphash"
	"maps"
	"math"
	"slices"
)

// balance compares two large sets of entries, the expected and the actual ones, without storing either. Each
// entry has a 64-bit hash, which also selects one of many buckets. The hash is added to the bucket's sum for
// an expected entry and subtracted for an actual one. If the sets are equal, all sums are 0. For buckets with
// other sums, a second walk collects the entries.
//
// The sums of different sets may cancel out with a probability of about 2^-64. The hash has a new seed each
// time, so that such entries cannot be forged, and a second check would find them.
type balance struct {
	seed maphash.Seed
	sums []uint64
	// suspects are the buckets to collect, nil in the first walk.
	suspects map[uint64]bool
	rows     map[string]*balanceRow
	// cut: more buckets differ than are collected.
	cut bool
}

type balanceRow struct {
	want, have           int
	wantValue, haveValue []byte
}

const (
	balanceBits = 14
	// maxSuspects bounds the collected buckets and thereby the memory: one in a hundred of all rows.
	maxSuspects = 1 << balanceBits / 100
)

func newBalance() *balance {
	return &balance{seed: maphash.MakeSeed(), sums: make([]uint64, 1<<balanceBits)}
}

// hash returns the hash of an entry. It includes the length of the key.
func (b *balance) hash(k, v []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(b.seed)
	_ = h.WriteByte(byte(len(k)))
	_, _ = h.Write(k)
	_, _ = h.Write(v)
	return h.Sum64()
}

// wants adds an expected entry, has an actual one.
func (b *balance) wants(k, v []byte) {
	if row := b.note(k, v, 1); row != nil {
		row.want++
		row.wantValue = bytes.Clone(v)
	}
}

func (b *balance) has(k, v []byte) {
	if row := b.note(k, v, math.MaxUint64); row != nil { // minus one
		row.have++
		row.haveValue = bytes.Clone(v)
	}
}

// note adds a hash so many times to its bucket. In the second walk it returns the row of a suspect instead.
func (b *balance) note(k, v []byte, times uint64) *balanceRow {
	h := b.hash(k, v)
	bucket := h >> (64 - balanceBits)
	if b.suspects == nil {
		b.sums[bucket] += times * h
	}
	if !b.suspects[bucket] {
		return nil
	}
	row := b.rows[string(k)]
	if row == nil {
		row = &balanceRow{}
		b.rows[string(k)] = row
	}
	return row
}

func (b *balance) even() bool {
	var any uint64
	for _, sum := range b.sums {
		any |= sum
	}
	return any == 0
}

// suspect starts the second walk.
func (b *balance) suspect() {
	b.suspects, b.rows = map[uint64]bool{}, map[string]*balanceRow{}
	for bucket, sum := range b.sums {
		if sum == 0 {
			continue
		}
		if b.cut = len(b.suspects) == maxSuspects; b.cut {
			return
		}
		b.suspects[uint64(bucket)] = true
	}
}

// each reports all differences in key order. Of an entry with a wrong value, the suspects may include the
// expected entry, the actual one or both.
func (b *balance) each(f func(k []byte, problem string)) {
	for _, name := range slices.Sorted(maps.Keys(b.rows)) {
		row := b.rows[name]
		switch {
		case row.want > 0 && row.have > 0 && !bytes.Equal(row.wantValue, row.haveValue):
			f([]byte(name), "does not hold what its record says")
		case row.want < row.have && row.want > 0:
			f([]byte(name), "is there more than once")
		case row.want < row.have:
			f([]byte(name), "belongs to no record")
		case row.want > row.have:
			f([]byte(name), "is missing")
		}
	}
}
