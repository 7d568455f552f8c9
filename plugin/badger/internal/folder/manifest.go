package folder

// The note of tables that are being written, which the manifest may not name yet.

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

// UnfinishedFile is a file in the folder of a database. Its first byte says whether tables are being
// compacted, or could not be written. The manifest may then name tables that do not exist, or lack tables
// that do. What Badger has appended to it may be on the disk although the sync has failed, and a compaction
// names what it has (see compactions). No row is lost: all are in the memory table that was to be flushed, or
// in the old tables.
const UnfinishedFile = "UNFINISHED"

// The first byte, and what follows it.
const (
	tablesFinished   = '-'
	TablesUnfinished = '!'
	unfinishedText   = " ! is for tables that are being written: the next start looks after the MANIFEST.\n"
)

// Note is the file of that name. It is made before any table is written, and kept open: later there may
// be no room for another file, or no descriptor.
//
// It is locked while it is open. Badger lets go of the folder's lock before the last reader of a closed
// database has let go of its memory tables, whose files are removed only then: who opens the folder waits for
// that too.
type Note struct {
	mutex      sync.Mutex
	file       *os.File // nil before open and after close
	opened     os.FileInfo
	unlock     func() error
	unfinished bool
	// kept: it stays so until the next start.
	kept bool
}

var errNoNote = errors.New("the file " + UnfinishedFile + " is not open")

// Open opens the file, or makes it. What it says stays.
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
	case disk.IsLocked(err): // by a database that has failed: it removes nothing, nor does it close the note
		unlock = func() error { return nil }
	default:
		return errors.Join(err, file.Close())
	}
	n.file, n.opened, n.unlock = file, info, unlock
	return nil
}

// Begin says that tables are unfinished, and is an error where that is not on the disk: none may be written
// then.
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

// Keep is begin, for good.
func (n *Note) Keep() error {
	n.mutex.Lock()
	n.kept = true
	n.mutex.Unlock()
	return n.Begin()
}

// End says that tables are finished. Where that does not come to the disk, the next start looks for tables
// that are not there.
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

// ErrMoved says that a folder is no longer where its database was opened. ESTALE is how a mounted file system
// says it.
var ErrMoved = errors.New("the folder was moved, removed or replaced while the database is open")

// InPlace returns ErrMoved where the folder no longer has the file that is open. What is committed then goes
// to files that nobody finds again, and what Badger begins anew, by its name, to another folder.
func (n *Note) InPlace() error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.file == nil {
		return errNoNote
	}
	found, err := os.Stat(n.file.Name())
	return inPlace(n.opened, found, err)
}

// inPlace judges what was found of an open file by its name, or why nothing was.
func inPlace(opened, found os.FileInfo, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ESTALE):
		return ErrMoved
	case err != nil:
		return fmt.Errorf("look after the folder: %w", err)
	case !os.SameFile(opened, found):
		return ErrMoved
	}
	return nil
}

// Close closes the file. It stays as it is.
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

// isUnfinished reports whether the manifest of a database may have changes that were not finished.
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

// writeFinished has a database go on with a manifest that was finished.
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

// finished returns the manifest without the changes of a process that did not finish them: each set of
// changes, but the first, with a table that has no file, or that replaces tables whose files are all still
// there. It stays as it is where that does not make it whole.
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

// unfinished reports whether the tables that a set creates are not all there, or those that it deletes all
// are.
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
				return false // another set has gone on from it
			}
		case pb.ManifestChange_DELETE:
			deleted++
			if exists(id) && !live[id] { // a number may be given again
				left++
			}
		}
	}
	return deleted > 0 && left == deleted
}

// tablesOf returns the tables after all changes, also where these do not follow from one another.
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
