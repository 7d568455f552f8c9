// Package folder handles the files of a store before Badger opens them, and while they are open: the marker
// with the store's id, the check that refuses a store with missing files, the logs of a killed process, and
// an unfinished manifest.
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

// Take examines and prepares the folder of a store before Badger opens it, while no other process has it
// open. A missing or empty folder becomes a store. It returns the marker. A refused folder is left unchanged.
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

// takeStore is Take for a folder that is not empty.
func takeStore(
	ctx context.Context, options badger.Options, wanted []string, logger *slog.Logger,
) (*Marker, error) {
	path := options.Dir
	if _, err := ReadMarker(path); err != nil {
		return nil, err
	}
	// Everything below reads what is on disk. This changes nothing.
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

// Ready prepares an examined store for Badger.
func (f *Findings) Ready(m *Marker) error {
	if f.unfinished {
		if err := writeFinished(f.Path, f.manifest); err != nil {
			return ExplainOpen(f.Path, err)
		}
	}
	if err := errors.Join(f.sweep(), restoreLogs(f.Path)); err != nil {
		return ExplainOpen(f.Path, err)
	}
	// Badger removes empty logs before it creates a new one.
	if m.State == StateOpen && f.idle() {
		m.State = StateClosed
		return m.Write(f.Path)
	}
	return nil
}

// isNew reports whether a folder is empty except for drafts of the marker, which a crash at the very
// beginning leaves.
func isNew(entries []fs.DirEntry) bool {
	for _, entry := range entries {
		if !smallfile.IsDraft(entry.Name()) && entry.Name() != disk.MarkerFile+".new" {
			return false
		}
	}
	return true
}

// ExplainOpen describes what an operator can do about a database that cannot be opened.
func ExplainOpen(path string, err error) error {
	switch {
	case disk.IsLocked(err):
		return disk.InUse(path)
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return ticketstore.Invalidf("encryption_key", "is not the one that %s was created with", path)
	}
	return fmt.Errorf("open database %s: %w", path, disk.Explain(path, err))
}
