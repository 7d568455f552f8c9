package badger

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// space keeps room on the disk of a database. Badger maps its logs and tables into memory: a process that writes to such a file on a full disk
// is ended by the system, so no change is taken when less than least is free. Reads go on. It is the committer's.
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

// check refuses a change of so many bytes if the disk has no room for it.
func (s *space) check(bytes int) error {
	free, err := s.free(s.path)
	if err != nil {
		return nil //nolint:nilerr // what the system does not tell stops nobody
	}
	if free >= s.least+uint64(bytes) {
		if s.short {
			s.short = false
			s.logger.LogAttrs(context.Background(), slog.LevelInfo, "the disk has room again, changes are taken", s.figures(free)...)
		}
		return nil
	}
	if !s.short {
		s.short = true
		s.logger.LogAttrs(context.Background(), slog.LevelError, "the disk is nearly full, no change is taken until there is room", s.figures(free)...)
	}
	return fmt.Errorf("%w: %d MiB are free at %s, and %d (min_free_mib) are kept free: make room", ticketstore.ErrNoSpace, free>>20, s.path, s.least>>20)
}

func (s *space) figures(free uint64) []slog.Attr {
	return []slog.Attr{slog.String("path", s.path), slog.Uint64("free_mib", free>>20), slog.Uint64("min_free_mib", s.least>>20)}
}
