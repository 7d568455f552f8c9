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

// takeFolder looks at the folder of a store before Badger does, while nothing else has it open, and readies
// it. One that is missing or empty becomes a store. It returns the marker. A folder that is refused stays as
// it was.
func takeFolder(ctx context.Context, options badger.Options, logger *slog.Logger) (m *marker, err error) {
	path, wanted := options.Dir, ticketstore.StoreIDs(ctx)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := checkStoreID("", path, wanted); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(path, forOwner); err != nil {
			return nil, ticketstore.Invalidf("path", "cannot be created: %v", err)
		}
	}
	unlock, err := awaitFolder(ctx, path, logger)
	if errors.Is(err, fs.ErrPermission) {
		return nil, unreadable(path, err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, ticketstore.Invalidf("path", "cannot be read as a folder: %v", err)
	}
	if !isNew(entries) {
		return takeStore(ctx, options, wanted, logger)
	}
	if err := checkStoreID("", path, wanted); err != nil {
		return nil, err
	}
	if err := keepPrivate(ctx, path, logger); err != nil {
		return nil, err
	}
	m = &marker{format: formatVersion}
	if err := m.write(path); err != nil {
		return nil, ticketstore.Invalidf("path", "cannot be written: %v", err)
	}
	return m, nil
}

// takeStore is takeFolder for a folder that holds something.
func takeStore(
	ctx context.Context, options badger.Options, wanted []string, logger *slog.Logger,
) (*marker, error) {
	path := options.Dir
	if _, err := readMarker(path); err != nil {
		return nil, err
	}
	// What is looked at is what is on the disk. This changes nothing of it.
	if err := filesOnDisk(path); errors.Is(err, fs.ErrPermission) {
		return nil, unreadable(path, err)
	} else if err != nil {
		return nil, explainOpen(path, err)
	}
	m, err := readMarker(path)
	if err != nil {
		return nil, err
	}
	found, err := lookAt(path, m, options.EncryptionKey)
	if err != nil {
		return nil, err
	}
	if err := found.fit(m); err != nil {
		return nil, err
	}
	if err := checkStoreID(found.storeID, path, wanted); err != nil {
		return nil, err
	}
	if err := keepPrivate(ctx, path, logger); err != nil {
		return nil, err
	}
	found.report(ctx, m, logger)
	return m, found.ready(m)
}

// ready makes of a store that was looked at what Badger opens.
func (f *findings) ready(m *marker) error {
	if f.unfinished {
		if err := writeFinished(f.path, f.manifest); err != nil {
			return explainOpen(f.path, err)
		}
	}
	if err := errors.Join(f.sweep(), restoreLogs(f.path)); err != nil {
		return explainOpen(f.path, err)
	}
	// Badger removes logs that hold nothing before it begins a new one.
	if m.state == stateOpen && f.idle() {
		m.state = stateClosed
		return m.write(f.path)
	}
	return nil
}

// isNew reports whether a folder has nothing in it but what a crash in the very first moment has left: drafts
// of the marker.
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

// isLocked reports whether a database does not open as another process has it.
func isLocked(err error) bool {
	return errors.Is(err, errInUse) || strings.Contains(err.Error(), "Cannot acquire directory lock")
}

// explainOpen says what an operator can do about a database that does not open.
func explainOpen(path string, err error) error {
	switch {
	case isLocked(err):
		return inUse(path)
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return ticketstore.Invalidf("encryption_key", "is not the one that %s was created with", path)
	}
	return fmt.Errorf("open database %s: %w", path, explainDisk(path, err))
}
