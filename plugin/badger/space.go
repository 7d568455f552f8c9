package badger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// space keeps room on the disk of a database. Badger maps its logs and tables into memory: a process that writes to such a file on a full disk
// is ended by the system, so changes are refused when no more than least is free. What ends, revokes and purges goes on until half of that is
// left, and reads do.
type space struct {
	path   string
	least  uint64
	logger *slog.Logger
	// free returns the bytes that may still be written, or an error where nobody can tell.
	free func(path string) (uint64, error)
	// inodes returns how many files may still be created, in the same way.
	inodes func(path string) (uint64, error)
	// short: the log was told. It is the committer's.
	short bool
}

func newSpace(settings *Settings, logger *slog.Logger) *space {
	least := uint64(defaultMinFreeMiB)
	if settings.MinFreeMiB > 0 {
		least = uint64(settings.MinFreeMiB)
	}
	return &space{path: settings.Path, least: least << 20, logger: logger, free: freeSpace, inodes: freeInodes}
}

// room asks the disk, also for a folder that is yet to be made.
func (s *space) room() diskRoom {
	path := s.path
	free, err := s.free(path)
	for errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		free, err = s.free(path)
	}
	if err != nil {
		free = math.MaxInt64 // what the system does not tell stops nobody
	}
	inodes, err := s.inodes(path)
	if err != nil {
		inodes = math.MaxInt64
	}
	return diskRoom{path: s.path, free: free, least: s.least, inodes: inodes}
}

// look is room for the committer: it tells the log when the disk has become nearly full and when it has room again.
func (s *space) look() diskRoom {
	room := s.room()
	switch {
	case !s.short && room.trouble() != "":
		s.short = true
		s.logger.LogAttrs(context.Background(), slog.LevelError,
			"the disk is nearly full: nothing but the ends of sessions is written until there is room", s.figures(room)...)
	case s.short && room.free > s.least+s.least/8 && room.inodes > leastInodes+reserveInodes+fewInodes:
		s.short = false
		_ = makeReserve(s.path) // or not: the next look tells
		s.logger.LogAttrs(context.Background(), slog.LevelInfo, "the disk has room again, changes are taken", s.figures(room)...)
	}
	return room
}

func (s *space) figures(room diskRoom) []slog.Attr {
	return []slog.Attr{
		slog.String("path", s.path), slog.Uint64("free_mib", room.free>>20), slog.Uint64("min_free_mib", s.least>>20),
		slog.Uint64("free_inodes", room.inodes),
	}
}

// diskRoom is the room on a disk at a moment.
type diskRoom struct {
	path        string
	free, least uint64
	inodes      uint64
}

// trouble says what is wrong with the room, nothing where there is enough.
func (r diskRoom) trouble() string {
	switch {
	case r.inodes <= leastInodes:
		return fmt.Sprintf("%d more files can be made on the file system of %s, and %d are kept free: remove files there", r.inodes, r.path, leastInodes)
	case r.free > r.least:
		return ""
	}
	return fmt.Sprintf("%d MiB are free at %s, and %d (min_free_mib) are kept free: make room", r.free>>20, r.path, r.least>>20)
}

// refuses is the error of a change, nil where there is room.
func (r diskRoom) refuses() error {
	if trouble := r.trouble(); trouble != "" {
		return fmt.Errorf("%w: %s", ticketstore.ErrNoSpace, trouble)
	}
	return nil
}

// refusesAll is the error of a transaction of so many bytes, also of one that may use what is kept free: half of that stays.
func (r diskRoom) refusesAll(bytes int) error {
	switch {
	case r.inodes <= fewInodes && !giveReserve(r.path):
		return fmt.Errorf("%w: %d more files can be made on the file system of %s: remove files there", ticketstore.ErrNoSpace, r.inodes, r.path)
	case r.free > r.least/2+uint64(bytes):
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free at %s: make room", ticketstore.ErrNoSpace, r.free>>20, r.path)
}

// refusesOpening is the error of opening a database, which brings what its last process left in memory to the disk.
func (r diskRoom) refusesOpening() error {
	if r.free > r.least/2 {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free at %s, and more than %d are needed to open the store: make room",
		ticketstore.ErrNoSpace, r.free>>20, r.path, r.least>>21)
}
