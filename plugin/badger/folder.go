package badger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/smallfile"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// prepareFolder makes sure that the folder is a session store of a known format, or makes it one if it is missing or empty. It is nobody else's
// to read or write from then on, but for the group of a volume that belongs to one. What is refused stays as it is.
func prepareFolder(ctx context.Context, path string, logger *slog.Logger) error {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(path, 0o700); err != nil {
			return ticketstore.Invalid("path", "cannot be created: %v", err)
		}
	case err != nil:
		return ticketstore.Invalid("path", "cannot be read as a folder: %v%s", err, ownedBy(path))
	}
	fresh := isNew(entries)
	if !fresh {
		if _, err := readMarker(path); err != nil {
			return err
		}
	}
	if err := keepPrivate(ctx, path, logger); err != nil {
		return err
	}
	if !fresh {
		return nil
	}
	m := &marker{format: formatVersion}
	if err := m.write(path); err != nil {
		return ticketstore.Invalid("path", "cannot be written: %v", err)
	}
	return nil
}

// readyFolder looks at a store before Badger does, while nothing else has it open, and readies it. It returns its marker.
func readyFolder(ctx context.Context, options badger.Options, logger *slog.Logger) (m *marker, err error) {
	path := options.Dir
	unlock, err := lockFolder(path, false)
	if err != nil {
		return nil, explainOpen(path, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	// Until now another process may have changed it.
	if m, err = readMarker(path); err != nil {
		return nil, err
	}
	if err := restoreLogs(path); err != nil {
		return nil, err
	}
	found, err := lookAt(path, m, options.EncryptionKey)
	if err != nil {
		return nil, err
	}
	if err := found.fit(m, options); err != nil {
		return nil, err
	}
	found.report(ctx, m, logger)
	if err := found.sweep(); err != nil {
		return nil, err
	}
	// Badger removes logs that hold nothing before it begins a new one.
	if m.state == stateOpen && found.idle() {
		m.state = stateClosed
		return m, m.write(path)
	}
	return m, nil
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

// errInUse: a database is open in the folder.
var errInUse = errors.New("is in use by another process")

// explainOpen says what an operator can do about a database that does not open.
func explainOpen(path string, err error) error {
	switch text := err.Error(); {
	case errors.Is(err, errInUse), strings.Contains(text, "Cannot acquire directory lock"):
		return inUse(path)
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return ticketstore.Invalid("encryption_key", "is not the one that %s was created with", path)
	}
	return fmt.Errorf("open database %s: %w", path, explainDisk(path, err))
}

func inUse(path string) error {
	return ticketstore.Invalid("path", "%s is in use by another process: a badger store belongs to one plugin at a time", path)
}
