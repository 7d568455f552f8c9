package disk

// Free space of a file system that reports no size.

import (
	"log/slog"
	"math"
	"testing"
)

// A file system that reports no blocks, such as /proc, is not full: its free space is unknown and not
// limited.
func TestUnknownSizeIsNotFull(t *testing.T) {
	t.Parallel()
	room := NewSpace("/proc", 256<<20, slog.New(slog.DiscardHandler)).Room()
	if trouble := room.Trouble(); trouble != "" || room.Free() != math.MaxInt64 {
		t.Errorf("%d bytes free, trouble %q, want no limit", room.Free(), trouble)
	}
	if err := room.RefusesOpening(); err != nil {
		t.Errorf("open is refused: %v", err)
	}
}
