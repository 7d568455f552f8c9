package kills_test

// Bounds of the ring.

import (
	"runtime"
	"testing"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/kills"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// Not parallel: it measures the heap. A position that is not kept is an error, not a gap.
func TestLogIsBounded(t *testing.T) {
	l, before, fault := &kills.Log{}, testenv.Heap(), error(nil)
	for _, err := range l.Follow(t.Context()) {
		if err != nil {
			fault = err
			break
		}
		for range kills.Kept / 2 {
			l.Add(&grantstore.Kill{Grants: make([]grantstore.Ref, 1500)})
		}
	}
	if fault == nil {
		t.Error("a follower behind the kept kills got no error")
	}
	if took := testenv.Heap() - before; took > 3*kills.KeptBytes/2 {
		t.Errorf("kills of 1,500 tokens each take %d bytes, want at most about %d", took, kills.KeptBytes)
	}
	runtime.KeepAlive(l)
}

func TestRing(t *testing.T) {
	t.Parallel()
	const began = 7
	large := kills.KeptBytes / 48 / 2 // refs, of which two kills fit
	ring := kills.Ring{Forgotten: began}
	for i, n := range []int{1, large, large + 1, 1, 3 * large, 1} {
		ring.Put(&grantstore.Kill{Position: uint64(began + 1 + i), Grants: make([]grantstore.Ref, n)})
		kept := [...][]uint64{{8}, {8, 9}, {10}, {10, 11}, {12}, {13}}[i]
		for p := uint64(0); p < 20; p++ {
			want := p >= kept[0] && p <= kept[len(kept)-1]
			if kill := ring.At(p); (kill != nil) != want || (want && kill.Position != p) {
				t.Errorf("kill %d of %d: At(%d) gives %v, want one: %t", i, n, p, kill != nil, want)
			}
		}
	}
}
