package disk

// Free space: changes are refused before Badger's mapped files run out of disk space.

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

// Space monitors the free space of a database's disk. Badger maps its logs and tables into memory: a write to
// such a file on a full disk kills the process, so changes are refused if no more than least is free. Ends,
// revocations and purges continue until half of it is left, and so do reads.
type Space struct {
	path   string
	Least  uint64
	logger *slog.Logger
	// Free returns the free bytes, or an error if unknown.
	Free func(path string) (uint64, error)
	// inodes returns the free inodes, or an error if unknown.
	inodes func(path string) (uint64, error)
	// short: the shortage was logged. Used by the committer only.
	short bool
}

// NewSpace monitors the disk of a folder, with least bytes to be kept free.
func NewSpace(path string, least uint64, logger *slog.Logger) *Space {
	return &Space{path: path, Least: least, logger: logger, Free: freeSpace, inodes: FreeInodes}
}

// Room returns the current room, also for a folder that does not exist yet.
func (s *Space) Room() Room {
	path := s.path
	free, err := s.Free(path)
	for errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		free, err = s.Free(path)
	}
	if err != nil {
		free = math.MaxInt64 // unknown means no limit
	}
	inodes, err := s.inodes(path)
	if err != nil {
		inodes = math.MaxInt64
	}
	return Room{path: s.path, free: free, least: s.Least, inodes: inodes}
}

// Look is Room for the committer: it also logs when the disk becomes nearly full, and when it has room again.
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
		_ = makeReserve(s.path) // if it fails, the next call retries
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

// Free returns the free bytes, or math.MaxInt64 if unknown.
func (r Room) Free() uint64 { return r.free }

// Trouble describes the shortage, or returns "" if there is enough room.
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

// Refuses returns the error of a change, or nil if there is room.
func (r Room) Refuses() error {
	if trouble := r.Trouble(); trouble != "" {
		return fmt.Errorf("%w: %s", ticketstore.ErrNoSpace, trouble)
	}
	return nil
}

// RefusesAll returns the error of a transaction of that many bytes, which applies even to one that may use
// the reserve: half of it must remain.
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

// RefusesOpening returns the error of opening a database, which flushes the memory tables of its last
// process.
func (r Room) RefusesOpening() error {
	if r.free > r.least/2 {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free at %s, and more than %d are needed to open the store: make room",
		ticketstore.ErrNoSpace, r.free>>20, r.path, r.least>>21)
}
