package disk

// Ensuring that files are on disk, not only in the page cache, before they are read.

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

// OnDisk ensures that the files of a database are read from disk, or returns an error.
//
// After a process was killed, the page cache has pages that are not written yet. After a failed sync it has
// pages that the kernel considers written although they are not. Reads return both as if they were on disk,
// and a retried call would be answered from them. So each file to which Badger appends is synced, which also
// returns an error that was not reported before. Then its pages are dropped from the cache, so that it is
// read from disk. Tables need neither: each was synced before the manifest named it, and is never written
// again. The rest is some tens of MiB, whatever the size of the database: its newest rows (.mem), which are
// read next anyway, and values over 1 MiB (.vlog), which are rare.
func OnDisk(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !appended(entry.Name()) {
			continue
		}
		if err := fileOnDisk(filepath.Join(path, entry.Name())); err != nil {
			return err
		}
	}
	return smallfile.SyncFolder(path)
}

// appended reports whether a file of a database is appended to or replaced, unlike a table.
func appended(name string) bool {
	switch filepath.Ext(strings.TrimSuffix(name, files.PutOff)) {
	case ".mem", ".vlog":
		return true
	}
	return name == MarkerFile || strings.HasPrefix(name, "MANIFEST") || strings.HasPrefix(name, "KEYREGISTRY")
}

func fileOnDisk(path string) error {
	// Opened for writing, as Badger will do: this detects a read-only file system before anything is done
	// with the database.
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		return err
	}
	return dropPages(file)
}
