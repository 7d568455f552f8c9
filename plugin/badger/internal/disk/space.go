package disk

// Room on the disk: changes are refused before Badger's mapped files have none.

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

// Space keeps room on the disk of a database. Badger maps its logs and tables into memory: a process that
// writes to such a file on a full disk is ended by the system, so changes are refused when no more than least
// is free. What ends, revokes and purges goes on until half of that is left, and reads do.
type Space struct {
	path   string
	Least  uint64
	logger *slog.Logger
	// Free returns the bytes that may still be written, or an error where that is unknown.
	Free func(path string) (uint64, error)
	// inodes returns how many files may still be created, in the same way.
	inodes func(path string) (uint64, error)
	// short: that was logged. It is the committer's.
	short bool
}

// NewSpace watches the disk of a folder, of which so many bytes are to stay free.
func NewSpace(path string, least uint64, logger *slog.Logger) *Space {
	return &Space{path: path, Least: least, logger: logger, Free: freeSpace, inodes: FreeInodes}
}

// Room asks the disk, also for a folder that is yet to be made.
func (s *Space) Room() Room {
	path := s.path
	free, err := s.Free(path)
	for errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		free, err = s.Free(path)
	}
	if err != nil {
		free = math.MaxInt64 // what the system does not report is no limit
	}
	inodes, err := s.inodes(path)
	if err != nil {
		inodes = math.MaxInt64
	}
	return Room{path: s.path, free: free, least: s.Least, inodes: inodes}
}

// Look is room for the committer: it logs when the disk has become nearly full and when it has room
// again.
func (s *Space) Look() Room {
	room := s.Room()
	switch {
	case !s.short && room.Trouble() != "":
		s.short = true
		s.logger.LogAttrs(context.Background(), slog.LevelError,
			"the disk is nearly full: nothing but the ends of sessions is written until there is room",
			s.figures(room)...)
	case s.short && room.free > s.Least+s.Least/8 && room.inodes > LeastInodes+ReserveInodes+fewInodes:
		s.short = false
		_ = makeReserve(s.path) // or not: the next look finds out
		s.logger.LogAttrs(context.Background(), slog.LevelInfo, "the disk has room again, changes are taken",
			s.figures(room)...)
	}
	return room
}

func (s *Space) figures(room Room) []slog.Attr {
	return []slog.Attr{
		slog.String("path", s.path),
		slog.Uint64("free_mib", room.free>>20), slog.Uint64("min_free_mib", s.Least>>20),
		slog.Uint64("free_inodes", room.inodes),
	}
}

// Room is the room on a disk at a moment.
type Room struct {
	path        string
	free, least uint64
	inodes      uint64
}

// Free is how many bytes may still be written, math.MaxInt64 where the system does not say.
func (r Room) Free() uint64 { return r.free }

// Trouble says what is wrong with the room, nothing where there is enough.
func (r Room) Trouble() string {
	switch {
	case r.inodes <= LeastInodes:
		return fmt.Sprintf("%d more files can be made on the file system of %s, and %d are kept free: "+
			"remove files there", r.inodes, r.path, LeastInodes)
	case r.free > r.least:
		return ""
	}
	return fmt.Sprintf("%d MiB are free at %s, and %d (min_free_mib) are kept free: make room",
		r.free>>20, r.path, r.least>>20)
}

// Refuses is the error of a change, nil where there is room.
func (r Room) Refuses() error {
	if trouble := r.Trouble(); trouble != "" {
		return fmt.Errorf("%w: %s", ticketstore.ErrNoSpace, trouble)
	}
	return nil
}

// RefusesAll is the error of a transaction of so many bytes, also of one that may use what is kept free: half
// of that stays.
func (r Room) RefusesAll(bytes int) error {
	switch {
	case r.inodes <= fewInodes && !GiveReserve(r.path):
		return fmt.Errorf("%w: %d more files can be made on the file system of %s: remove files there",
			ticketstore.ErrNoSpace, r.inodes, r.path)
	case r.free > r.least/2+uint64(bytes):
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free at %s: make room", ticketstore.ErrNoSpace, r.free>>20, r.path)
}

// RefusesOpening is the error of opening a database, which brings what its last process left in memory to the
// disk.
func (r Room) RefusesOpening() error {
	if r.free > r.least/2 {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free at %s, and more than %d are needed to open the store: make room",
		ticketstore.ErrNoSpace, r.free>>20, r.path, r.least>>21)
}
