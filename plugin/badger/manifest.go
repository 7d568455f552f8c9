package badger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	sstable "github.com/dgraph-io/badger/v4/table"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

// unfinishedFile stands in the folder of a database. Its first byte says whether tables are being compacted, or could not
// be written. The manifest may then name tables that are not there, or lack some that could not be written: what Badger
// has appended to it may be on the disk although the sync has failed, and a compaction names what it has (see
// compactions). All rows are there nevertheless: in the memory table that was to be flushed, or in the old tables.
const unfinishedFile = "UNFINISHED"

// The first byte, and what follows it.
const (
	tablesFinished   = '-'
	tablesUnfinished = '!'
	unfinishedText   = " ! is for tables that are being written: the next start looks after the MANIFEST.\n"
)

// tableNote is the file of that name. It is made before any table is written, and kept open: later there may be no room
// for another file, or no descriptor.
type tableNote struct {
	mutex      sync.Mutex
	file       *os.File // nil before open and after close
	unfinished bool
	// kept: it stays so until the next start.
	kept bool
}

var errNoNote = errors.New("the file " + unfinishedFile + " is not open")

// open opens the file, or makes it. What it says stays.
func (n *tableNote) open(folder string) error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	file, err := os.OpenFile(filepath.Join(folder, unfinishedFile), os.O_RDWR|os.O_CREATE, 0o600)
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
	n.file = file
	return nil
}

// begin says that tables are unfinished, and is an error where that is not on the disk: none may be written then.
func (n *tableNote) begin() error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.unfinished {
		return nil
	}
	if n.file == nil {
		return errNoNote
	}
	if err := writeNote(n.file, tablesUnfinished); err != nil {
		return err
	}
	n.unfinished = true
	return nil
}

// keep is begin, for good.
func (n *tableNote) keep() error {
	n.mutex.Lock()
	n.kept = true
	n.mutex.Unlock()
	return n.begin()
}

// end says that tables are finished. Where that does not come to the disk, the next start looks in vain.
func (n *tableNote) end() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.kept || n.file == nil {
		return
	}
	if _, err := n.file.WriteAt([]byte{tablesFinished}, 0); err == nil {
		n.unfinished = false
	}
}

func (n *tableNote) close() error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.file == nil {
		return nil
	}
	defer func() { n.file = nil }()
	return n.file.Close()
}

func writeNote(file *os.File, state byte) error {
	_, err := file.WriteAt([]byte{state}, 0)
	return errors.Join(err, file.Sync())
}

// finishManifest takes from the manifest the changes of a process that did not finish them: each set of changes, but
// the first, with a table that has no file, or that replaces tables whose files are all still there. That is done only
// if all tables that remain have their files.
func finishManifest(path string) (err error) {
	note, err := os.OpenFile(filepath.Join(path, unfinishedFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, note.Close()) }()
	state := make([]byte, 1)
	if n, err := note.ReadAt(state, 0); n == 1 && state[0] == tablesFinished || err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	manifest := filepath.Join(path, badger.ManifestFilename)
	text, err := os.ReadFile(manifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // that is for others to say
	}
	if err != nil {
		return err
	}
	if finished := finishedManifest(text, func(id uint64) bool {
		_, err := os.Stat(sstable.NewFilename(id, path))
		return err == nil
	}); !bytes.Equal(finished, text) {
		err := smallfile.Write(manifest, finished, 0o600)
		if errors.Is(err, syscall.ENOSPC) && giveReserve(path) {
			err = smallfile.Write(manifest, finished, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return writeNote(note, tablesFinished)
}

// manifestHeader is Badger's magic text, and two versions.
const manifestHeader = 8

// finishedManifest returns the manifest without its unfinished sets, or as it is if that does not make it whole.
func finishedManifest(text []byte, exists func(id uint64) bool) []byte {
	if len(text) < manifestHeader {
		return text
	}
	var sets []*pb.ManifestChangeSet
	var raw [][]byte
	for rest := text[manifestHeader:]; len(rest) >= 8; {
		size := 8 + uint64(binary.BigEndian.Uint32(rest))
		if size > uint64(len(rest)) {
			break // a set that was cut, which Badger cuts off
		}
		set := &pb.ManifestChangeSet{}
		sum := crc32.Checksum(rest[8:size], crc32.MakeTable(crc32.Castagnoli))
		if sum != binary.BigEndian.Uint32(rest[4:]) || proto.Unmarshal(rest[8:size], set) != nil {
			return text // it is damaged: Badger says so
		}
		sets, raw = append(sets, set), append(raw, rest[:size])
		rest = rest[size:]
	}
	missing := func(id uint64) bool { return !exists(id) }
	live := tablesOf(sets, func(uint64) bool { return true })
	finished := bytes.Clone(text[:manifestHeader])
	var kept []*pb.ManifestChangeSet
	for i, set := range sets {
		if i > 0 && unfinished(set, live, exists) {
			continue
		}
		kept, finished = append(kept, set), append(finished, raw[i]...)
	}
	if len(tablesOf(kept, missing)) > 0 {
		return text
	}
	return finished
}

// unfinished reports whether the tables that a set creates are not all there, or those that it deletes all are.
func unfinished(set *pb.ManifestChangeSet, live map[uint64]bool, exists func(id uint64) bool) bool {
	deleted, left := 0, 0
	for _, change := range set.GetChanges() {
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

// tablesOf returns the tables after all changes for which want is true.
func tablesOf(sets []*pb.ManifestChangeSet, want func(id uint64) bool) map[uint64]bool {
	tables := map[uint64]bool{}
	for _, set := range sets {
		for _, change := range set.GetChanges() {
			if change.GetOp() == pb.ManifestChange_CREATE {
				tables[change.GetId()] = true
			} else {
				delete(tables, change.GetId())
			}
		}
	}
	for id := range tables {
		if !want(id) {
			delete(tables, id)
		}
	}
	return tables
}
