// Package folder handles the files of a store before Badger opens them, and while it has them open: the
// marker with the store's id, the check that refuses a store with files missing, the logs of a killed
// process, and a manifest that was not finished.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Take looks at the folder of a store before Badger does, while nothing else has it open, and readies
// it. One that is missing or empty becomes a store. It returns the marker. A folder that is refused stays as
// it was.
func Take(ctx context.Context, options badger.Options, logger *slog.Logger) (m *Marker, err error) {
	path, wanted := options.Dir, ticketstore.StoreIDs(ctx)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := checkStoreID("", path, wanted); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(path, disk.ForOwner); err != nil {
			return nil, ticketstore.Invalidf("path", "cannot be created: %v", err)
		}
	}
	unlock, err := disk.AwaitLock(ctx, path, logger)
	if errors.Is(err, fs.ErrPermission) {
		return nil, disk.Unreadable(path, err)
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
	if err := disk.KeepPrivate(ctx, path, logger); err != nil {
		return nil, err
	}
	m = &Marker{Format: layout.Version}
	if err := m.Write(path); err != nil {
		return nil, ticketstore.Invalidf("path", "cannot be written: %v", err)
	}
	return m, nil
}

// takeStore is Take for a folder that holds something.
func takeStore(
	ctx context.Context, options badger.Options, wanted []string, logger *slog.Logger,
) (*Marker, error) {
	path := options.Dir
	if _, err := ReadMarker(path); err != nil {
		return nil, err
	}
	// What is looked at is what is on the disk. This changes nothing of it.
	if err := disk.OnDisk(path); errors.Is(err, fs.ErrPermission) {
		return nil, disk.Unreadable(path, err)
	} else if err != nil {
		return nil, ExplainOpen(path, err)
	}
	m, err := ReadMarker(path)
	if err != nil {
		return nil, err
	}
	found, err := Look(path, m, options.EncryptionKey)
	if err != nil {
		return nil, err
	}
	if err := found.fit(m); err != nil {
		return nil, err
	}
	if err := checkStoreID(found.storeID, path, wanted); err != nil {
		return nil, err
	}
	if err := disk.KeepPrivate(ctx, path, logger); err != nil {
		return nil, err
	}
	found.Report(ctx, m, logger)
	return m, found.Ready(m)
}

// Ready makes of a store that was looked at what Badger opens.
func (f *Findings) Ready(m *Marker) error {
	if f.unfinished {
		if err := writeFinished(f.Path, f.manifest); err != nil {
			return ExplainOpen(f.Path, err)
		}
	}
	if err := errors.Join(f.sweep(), restoreLogs(f.Path)); err != nil {
		return ExplainOpen(f.Path, err)
	}
	// Badger removes logs that hold nothing before it begins a new one.
	if m.State == StateOpen && f.idle() {
		m.State = StateClosed
		return m.Write(f.Path)
	}
	return nil
}

// isNew reports whether a folder has nothing in it but what a crash in the very first moment has left: drafts
// of the marker.
func isNew(entries []fs.DirEntry) bool {
	for _, entry := range entries {
		if !smallfile.IsDraft(entry.Name()) && entry.Name() != disk.MarkerFile+".new" {
			return false
		}
	}
	return true
}

// ExplainOpen says what an operator can do about a database that does not open.
func ExplainOpen(path string, err error) error {
	switch {
	case disk.IsLocked(err):
		return disk.InUse(path)
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return ticketstore.Invalidf("encryption_key", "is not the one that %s was created with", path)
	}
	return fmt.Errorf("open database %s: %w", path, disk.Explain(path, err))
}
