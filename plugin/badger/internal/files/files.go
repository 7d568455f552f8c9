// Package files reads the individual files of a Badger database without opening the database. It only reads,
// and does not trust their contents.
package files

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Names and extensions of Badger's files.
const (
	ManifestFile = "MANIFEST"
	KeyRegistry  = "KEYREGISTRY"
	Discard      = "DISCARD"
	valuesExt    = ".vlog"
	// TableExt and LogExt are the extensions of tables and of logs. A log holds the contents of one memory
	// table.
	TableExt = ".sst"
	LogExt   = ".mem"
	// PutOff is appended to the name of a log to hide it from Badger for a while.
	PutOff = ".later"
)

// Listing lists the files of a database in a folder.
type Listing struct {
	// Manifest and KeyRegistry are whether these files exist.
	Manifest, KeyRegistry bool
	// Discard is the size of that file, 0 if it is missing.
	Discard int64
	// Tables, Logs and Values are the numbered files, in order. A hidden log replaces an empty one of its
	// number, which Badger has created meanwhile.
	Tables, Logs, Values []File
}

// File is a numbered file.
type File struct {
	ID   uint64
	Name string
	Size int64
	// PutOff: the file is hidden from Badger by its name.
	PutOff bool
}

// List reads names and sizes in a folder.
func List(path string) (*Listing, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	l := &Listing{}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		switch name := entry.Name(); name {
		case ManifestFile:
			l.Manifest = true
		case KeyRegistry:
			l.KeyRegistry = true
		case Discard:
			l.Discard = info.Size()
		default:
			plain, put := strings.CutSuffix(name, PutOff)
			ext := filepath.Ext(plain)
			if list := l.ofExtension(ext); list != nil {
				id, err := strconv.ParseUint(strings.TrimSuffix(plain, ext), 10, 64)
				if err != nil {
					return nil, fmt.Errorf("%s: is no file of the database", filepath.Join(path, name))
				}
				*list = append(*list, File{ID: id, Name: name, Size: info.Size(), PutOff: put})
			}
		}
	}
	for _, list := range []*[]File{&l.Tables, &l.Logs, &l.Values} {
		slices.SortFunc(*list, func(a, b File) int { return cmp.Compare(a.ID, b.ID) })
	}
	putOff := map[uint64]bool{}
	for _, log := range l.Logs {
		putOff[log.ID] = putOff[log.ID] || log.PutOff
	}
	l.Logs = slices.DeleteFunc(l.Logs, func(log File) bool { return putOff[log.ID] && !log.PutOff })
	return l, nil
}

func (l *Listing) ofExtension(ext string) *[]File {
	switch ext {
	case TableExt:
		return &l.Tables
	case LogExt:
		return &l.Logs
	case valuesExt:
		return &l.Values
	}
	return nil
}

// Names returns the names in a folder with that ending, sorted.
func Names(path, ending string) (names []string, err error) {
	entries, err := os.ReadDir(path)
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ending) {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// TableName returns the file name of a table.
func TableName(id uint64) string { return fmt.Sprintf("%06d%s", id, TableExt) }

// LogName returns the file name of a log.
func LogName(id uint64) string { return fmt.Sprintf("%05d%s", id, LogExt) }

// readAt reads n bytes at an offset, if the file is that large.
func readAt(file *os.File, offset int64, n uint64) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if offset < 0 || n > math.MaxInt32 || offset+int64(n) > info.Size() {
		return nil, io.ErrUnexpectedEOF
	}
	data := make([]byte, n)
	_, err = file.ReadAt(data, offset)
	return data, err
}
