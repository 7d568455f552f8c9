package check

import (
	"bytes"
	"hash/maphash"
	"maps"
	"slices"
)

// balance tells whether two large sets of entries, what should be there and what is, are the same, without keeping either: each entry falls
// into one of many buckets, to whose sum it is added once for each set, with opposite signs. Where a sum is not zero in the end, another walk
// collects the entries of that bucket alone. The hash is seeded anew each time; that two sets differ and their sums do not is as likely as 64
// coins that fall alike.
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
	// maxSuspects bounds the buckets that are collected, and with them the memory: one in a hundred of all rows.
	maxSuspects = 1 << balanceBits / 100
)

func newBalance() *balance {
	return &balance{seed: maphash.MakeSeed(), sums: make([]uint64, 1<<balanceBits)}
}

// hash also tells where a key ends.
func (b *balance) hash(k, v []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(b.seed)
	_ = h.WriteByte(byte(len(k)))
	_, _ = h.Write(k)
	_, _ = h.Write(v)
	return h.Sum64()
}

// wants notes an entry that should be there, has one that is.
func (b *balance) wants(k, v []byte) {
	h := b.hash(k, v)
	if b.suspects == nil {
		b.sums[h>>(64-balanceBits)] += h
		return
	}
	if row := b.row(h, k); row != nil {
		row.want++
		row.wantValue = bytes.Clone(v)
	}
}

func (b *balance) has(k, v []byte) {
	h := b.hash(k, v)
	if b.suspects == nil {
		b.sums[h>>(64-balanceBits)] -= h
		return
	}
	if row := b.row(h, k); row != nil {
		row.have++
		row.haveValue = bytes.Clone(v)
	}
}

func (b *balance) row(h uint64, k []byte) *balanceRow {
	if !b.suspects[h>>(64-balanceBits)] {
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

// suspect begins the second walk.
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

// each tells of all differences, in the order of their keys. Of an entry that holds something else than it should, both may be among the
// suspects or one alone.
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
