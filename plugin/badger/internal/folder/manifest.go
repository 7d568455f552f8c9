package folder

// The note that tables are being written, which the manifest may not name yet.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/dgraph-io/badger/v4/pb"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

// UnfinishedFile is a file in the folder of a database. Its first byte records whether tables are being
// compacted, or could not be written. The manifest may then name tables that do not exist, or lack tables
// that do. What Badger has appended to it may be on disk although the sync failed, and a compaction records
// the tables it has (see compactions). No row is lost: all are in the memory table that was to be flushed, or
// in the old tables.
const UnfinishedFile = "UNFINISHED"

// The first byte, and the rest of the file.
const (
	tablesFinished   = '-'
	TablesUnfinished = '!'
	unfinishedText   = " ! is for tables that are being written: the next start looks after the MANIFEST.\n"
)

// Note is that file, opened. It is created before any table is written, and kept open: later there may be no
// disk space or file descriptor for it.
//
// It is locked while it is open. Badger releases the folder's lock before the last reader of a closed
// database has released its memory tables, whose files are removed only then: opening the folder waits for
// this lock too.
type Note struct {
	mutex      sync.Mutex
	file       *os.File // nil before Open and after Close
	opened     os.FileInfo
	unlock     func() error
	unfinished bool
	// kept: it stays as it is until the next start.
	kept bool
}

var errNoNote = errors.New("the file " + UnfinishedFile + " is not open")

// Open opens or creates the file. It does not change its contents.
func (n *Note) Open(folder string) error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	file, err := os.OpenFile(filepath.Join(folder, UnfinishedFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() == 0 {
		_, err = file.WriteString(string(tablesFinished) + unfinishedText)
		err = errors.Join(err, file.Sync(), smallfile.SyncFolder(folder))
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	unlock, err := disk.OpenReleased(func() (func() error, error) { return disk.Lock(file.Name(), false) })
	switch {
	case err == nil:
	case disk.IsLocked(err): // held by a failed database, which removes nothing and never closes the note
		unlock = func() error { return nil }
	default:
		return errors.Join(err, file.Close())
	}
	n.file, n.opened, n.unlock = file, info, unlock
	return nil
}

// Begin records that tables are unfinished. If it returns an error, the record may not be on disk, and no
// table may be written.
func (n *Note) Begin() error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.unfinished {
		return nil
	}
	if n.file == nil {
		return errNoNote
	}
	if err := writeNote(n.file, TablesUnfinished); err != nil {
		return err
	}
	n.unfinished = true
	return nil
}

// Keep is Begin, permanently.
func (n *Note) Keep() error {
	n.mutex.Lock()
	n.kept = true
	n.mutex.Unlock()
	return n.Begin()
}

// End records that tables are finished. If that does not reach the disk, the next start checks for missing
// tables.
func (n *Note) End() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.kept || n.file == nil {
		return
	}
	if _, err := n.file.WriteAt([]byte{tablesFinished}, 0); err == nil {
		n.unfinished = false
	}
}

// ErrMoved means that a folder is no longer where its database was opened. Network file systems report this
// as ESTALE.
var ErrMoved = errors.New("the folder was moved, removed or replaced while the database is open")

// InPlace returns ErrMoved if the folder no longer contains the open file. Commits then go to unreachable
// files, and new files of Badger, opened by name, to a different folder.
func (n *Note) InPlace() error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.file == nil {
		return errNoNote
	}
	found, err := os.Stat(n.file.Name())
	return inPlace(n.opened, found, err)
}

// inPlace compares an open file with the file found under its name, or evaluates the error of finding it.
func inPlace(opened, found os.FileInfo, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ESTALE):
		return ErrMoved
	case err != nil:
		return fmt.Errorf("check the folder: %w", err)
	case !os.SameFile(opened, found):
		return ErrMoved
	}
	return nil
}

// Close closes the file without changing it.
func (n *Note) Close() error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.file == nil {
		return nil
	}
	defer func() { n.file = nil }()
	return errors.Join(n.unlock(), n.file.Close())
}

func writeNote(file *os.File, state byte) error {
	_, err := file.WriteAt([]byte{state}, 0)
	return errors.Join(err, file.Sync())
}

// isUnfinished reports whether the manifest of a database may have unfinished changes.
func isUnfinished(path string) (bool, error) {
	note, err := os.Open(filepath.Join(path, UnfinishedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer note.Close()
	state := make([]byte, 1)
	if _, err := note.ReadAt(state, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return state[0] != tablesFinished, nil
}

// writeFinished replaces the manifest of a database with a finished one.
func writeFinished(path string, m *files.Manifest) error {
	name, data := filepath.Join(path, files.ManifestFile), m.Bytes()
	text, err := os.ReadFile(name)
	if err == nil && !bytes.Equal(text, data) {
		err = smallfile.Write(name, data, 0o600)
		if errors.Is(err, syscall.ENOSPC) && disk.GiveReserve(path) {
			err = smallfile.Write(name, data, 0o600)
		}
	}
	if err != nil {
		return err
	}
	note, err := os.OpenFile(filepath.Join(path, UnfinishedFile), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(writeNote(note, tablesFinished), note.Close())
}

// finished returns the manifest without the unfinished changes of a process: each change set except the first
// with a table that has no file, or that replaces tables whose files all still exist. It returns the manifest
// unchanged if that does not make it complete.
func finished(m *files.Manifest, exists func(id uint64) bool) *files.Manifest {
	live := tablesOf(m.Sets)
	kept := &files.Manifest{}
	for i, set := range m.Sets {
		if i == 0 || !unfinished(set, live, exists) {
			kept.Sets = append(kept.Sets, set)
		}
	}
	for id := range tablesOf(kept.Sets) {
		if !exists(id) {
			return m
		}
	}
	return kept
}

// unfinished reports whether some of the tables that a set creates are missing, or all that it deletes still
// exist.
func unfinished(set files.ChangeSet, live map[uint64]bool, exists func(id uint64) bool) bool {
	deleted, left := 0, 0
	for _, change := range set.Changes {
		id := change.GetId()
		switch change.GetOp() {
		case pb.ManifestChange_CREATE:
			if live[id] && !exists(id) {
				return true
			}
			if !live[id] {
				return false // a later set depends on it
			}
		case pb.ManifestChange_DELETE:
			deleted++
			if exists(id) && !live[id] { // ids may be reused
				left++
			}
		}
	}
	return deleted > 0 && left == deleted
}

// tablesOf returns the tables after all changes, even if these are inconsistent.
func tablesOf(sets []files.ChangeSet) map[uint64]bool {
	tables := map[uint64]bool{}
	for _, set := range sets {
		for _, change := range set.Changes {
			if change.GetOp() == pb.ManifestChange_CREATE {
				tables[change.GetId()] = true
			} else {
				delete(tables, change.GetId())
			}
		}
	}
	return tables
}
