package badger

import (
	"context"
	"fmt"
	"log/slog"
	"math"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// space keeps room on the disk of a database. Badger maps its logs and tables into memory: a process that writes to such a file on a full disk
// is ended by the system, so changes are refused when no more than least is free. What ends, revokes and purges goes on until a quarter of
// that is left, and reads do. It is the committer's.
type space struct {
	path   string
	least  uint64
	logger *slog.Logger
	// free returns the bytes that may still be written, or an error where nobody can tell.
	free  func(path string) (uint64, error)
	short bool
}

func newSpace(settings *Settings, logger *slog.Logger) *space {
	least := uint64(defaultMinFreeMiB)
	if settings.MinFreeMiB > 0 {
		least = uint64(settings.MinFreeMiB)
	}
	return &space{path: settings.Path, least: least << 20, logger: logger, free: freeSpace}
}

// look asks the disk, and tells the log when it has become nearly full and when it has room again.
func (s *space) look() diskRoom {
	free, err := s.free(s.path)
	if err != nil {
		return diskRoom{least: s.least, path: s.path, free: math.MaxInt64} // what the system does not tell stops nobody
	}
	switch {
	case !s.short && free <= s.least:
		s.short = true
		s.logger.LogAttrs(context.Background(), slog.LevelError,
			"the disk is nearly full: nothing but the ends of sessions is written until there is room", s.figures(free)...)
	case s.short && free > s.least+s.least/8:
		s.short = false
		s.logger.LogAttrs(context.Background(), slog.LevelInfo, "the disk has room again, changes are taken", s.figures(free)...)
	}
	return diskRoom{path: s.path, free: free, least: s.least}
}

func (s *space) figures(free uint64) []slog.Attr {
	return []slog.Attr{slog.String("path", s.path), slog.Uint64("free_mib", free>>20), slog.Uint64("min_free_mib", s.least>>20)}
}

// diskRoom is the room on a disk at a moment.
type diskRoom struct {
	path        string
	free, least uint64
}

// refuses is the error of a change, nil where there is room.
func (r diskRoom) refuses() error {
	if r.free > r.least {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free at %s, and %d (min_free_mib) are kept free: make room",
		ticketstore.ErrNoSpace, r.free>>20, r.path, r.least>>20)
}

// refusesAll is the error of a transaction of so many bytes, also of one that may use what is kept free: a quarter of that stays.
func (r diskRoom) refusesAll(bytes int) error {
	if r.free > r.least/4+uint64(bytes) {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free at %s: make room", ticketstore.ErrNoSpace, r.free>>20, r.path)
}
