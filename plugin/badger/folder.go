package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/smallfile"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// prepareFolder makes sure that the folder is a session store of a known format, or makes it one if it is missing or empty. It returns the
// store's marker.
func prepareFolder(path string) (m *marker, err error) {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, ticketstore.Invalid("path", "cannot be created: %v", err)
		}
	case err != nil:
		return nil, ticketstore.Invalid("path", "cannot be read as a folder: %v", err)
	}
	if isNew(entries) {
		m = &marker{format: formatVersion}
		if err := m.write(path); err != nil {
			return nil, ticketstore.Invalid("path", "cannot be written: %v", err)
		}
	} else if m, err = readMarker(path); err != nil {
		return nil, err
	}
	return m, keepPrivate(path)
}

// isNew reports whether a folder has nothing in it but what a crash in the very first moment has left: drafts of the marker.
func isNew(entries []fs.DirEntry) bool {
	for _, entry := range entries {
		if !smallfile.IsDraft(entry.Name()) && entry.Name() != markerFile+".new" {
			return false
		}
	}
	return true
}

// keepPrivate shuts a folder that was made by somebody else: Badger's own files can be read by all.
func keepPrivate(path string) error {
	if err := os.Chmod(path, 0o700); err != nil { //nolint:gosec // a folder needs its x
		return ticketstore.Invalid("path", "cannot be kept private: %v", err)
	}
	return nil
}

// errInUse: a database is open in the folder.
var errInUse = errors.New("is in use by another process")

// explainOpen says what an operator can do about a database that does not open.
func explainOpen(path string, err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "Cannot acquire directory lock"):
		return inUse(path)
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return ticketstore.Invalid("encryption_key", "is not the one that %s was created with", path)
	}
	return fmt.Errorf("open database %s: %w", path, explainDisk(path, err))
}

func inUse(path string) error {
	return ticketstore.Invalid("path", "%s is in use by another process: a badger store belongs to one plugin at a time", path)
}
