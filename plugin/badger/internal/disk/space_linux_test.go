package disk

// Room on a file system that says nothing of its size.

import (
	"log/slog"
	"math"
	"testing"
)

// A file system that reports no blocks at all, as /proc, is not full: its room is unknown, which is no limit.
func TestUnknownSizeIsNotFull(t *testing.T) {
	t.Parallel()
	room := NewSpace("/proc", 256<<20, slog.New(slog.DiscardHandler)).Room()
	if trouble := room.Trouble(); trouble != "" || room.Free() != math.MaxInt64 {
		t.Errorf("%d bytes are free and there is trouble %q, want no limit", room.Free(), trouble)
	}
	if err := room.RefusesOpening(); err != nil {
		t.Errorf("opening is refused: %v", err)
	}
}
