package testenv

// The memory used by a test.

import (
	"runtime"
	"time"
)

// Heap returns the live heap in bytes, for tests that are not parallel. What earlier tests have left would be
// freed during the measurement: finalizers run after the collection that finds an object, and pools keep
// theirs for one more. So Heap collects until nothing more is freed.
func Heap() int64 {
	const same = 4 << 10
	var last int64
	for calm, rounds := 0, 0; calm < 3 && rounds < 100; rounds++ {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		live := int64(stats.HeapAlloc)
		calm++
		if last-live > same || live-last > same {
			calm = 0
		}
		last = live
		time.Sleep(time.Millisecond) // finalizers run
	}
	return last
}
