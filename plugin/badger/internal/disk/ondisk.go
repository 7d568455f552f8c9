package disk

// Proof that files are on the disk, and not in memory alone, before they are read.

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

// OnDisk makes sure that what is about to be read from the files of a database is on its disk, or
// refuses it.
//
// After a process was killed, the page cache has pages that the system has not written yet. After a failed
// sync it has pages that the system believes to be written although they are not. Both are read as if they
// were on the disk, and a repeated call would be answered from them. So each file that Badger appends to is
// synced, which also returns an error that was not reported before. Then its pages are dropped from the
// cache, so that it is read from the disk. The tables need neither: each was synced before the manifest named
// it, and is never written again. That leaves some tens of MiB, whatever the size of the database: its newest
// rows (.mem), which are read in a moment anyway, and values over 1 MiB (.vlog), which are rare.
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

// appended reports whether a file of a database is one that grows or is replaced in it, rather than a table.
func appended(name string) bool {
	switch filepath.Ext(strings.TrimSuffix(name, files.PutOff)) {
	case ".mem", ".vlog":
		return true
	}
	return name == MarkerFile || strings.HasPrefix(name, "MANIFEST") || strings.HasPrefix(name, "KEYREGISTRY")
}

func fileOnDisk(path string) error {
	// For writing, as Badger will: a file system that has turned read-only is noticed before anything is done
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
