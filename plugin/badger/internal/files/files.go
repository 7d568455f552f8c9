// Package files reads the files of a Badger database one by one, without opening the database: for reading only, and without believing them.
package files

import (
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
	Manifest    = "MANIFEST"
	KeyRegistry = "KEYREGISTRY"
	Discard     = "DISCARD"
	tableExt    = ".sst"
	logExt      = ".mem"
	valuesExt   = ".vlog"
)

// Listing is what a folder holds of a database.
type Listing struct {
	// Manifest and KeyRegistry: the file of that name is there.
	Manifest, KeyRegistry bool
	// Discard is the size of that file, 0 where it is missing.
	Discard int64
	// Tables, Logs and Values are the numbered files, in their order.
	Tables, Logs, Values []File
}

// File is a numbered file.
type File struct {
	ID   uint64
	Name string
	Size int64
}

// List reads the names and sizes in a folder.
func List(path string) (*Listing, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	l := &Listing{}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		switch name := entry.Name(); name {
		case Manifest:
			l.Manifest = true
		case KeyRegistry:
			l.KeyRegistry = true
		case Discard:
			l.Discard = info.Size()
		default:
			if list := l.ofExtension(filepath.Ext(name)); list != nil {
				id, err := strconv.ParseUint(strings.TrimSuffix(name, filepath.Ext(name)), 10, 64)
				if err != nil {
					return nil, fmt.Errorf("%s: is no file of the database", filepath.Join(path, name))
				}
				*list = append(*list, File{ID: id, Name: name, Size: info.Size()})
			}
		}
	}
	for _, list := range []*[]File{&l.Tables, &l.Logs, &l.Values} {
		slices.SortFunc(*list, func(a, b File) int { return compare(a.ID, b.ID) })
	}
	return l, nil
}

func (l *Listing) ofExtension(ext string) *[]File {
	switch ext {
	case tableExt:
		return &l.Tables
	case logExt:
		return &l.Logs
	case valuesExt:
		return &l.Values
	}
	return nil
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// TableName is the name of the table of a number.
func TableName(id uint64) string { return fmt.Sprintf("%06d%s", id, tableExt) }

// readAt reads n bytes at an offset, and no more than a file can have.
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
