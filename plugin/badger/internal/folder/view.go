package folder

// Views: a store opened read-only, without changing its files.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
)

// View is a store opened read-only. While it is open, no other process can open the store for changes.
type View struct {
	Marker *Marker
	Found  *Findings
	// path is the store's folder, or a private folder with links to its files and copies of its logs.
	path    string
	private bool
	unlock  func() error
}

// OpenView checks a store and prepares it for being opened read-only by Badger.
func OpenView(path string, encryption []byte) (v *View, err error) {
	unlock, err := disk.Share(path)
	if err != nil {
		return nil, ExplainLocked(path, err)
	}
	v = &View{path: path, unlock: unlock}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Close())
		}
	}()
	// Before the lock another process may have changed it.
	if v.Marker, err = ReadMarker(path); err != nil {
		return v, err
	}
	if v.Found, err = Look(path, v.Marker, encryption); err != nil {
		return v, err
	}
	if !v.Found.listing.Manifest {
		return v, v.Found.missing(files.ManifestFile)
	}
	if err := v.Found.fit(v.Marker); err != nil {
		return v, err
	}
	if v.Found.settled() {
		return v, nil
	}
	if err := v.fill(); err != nil {
		return v, fmt.Errorf("a private view of %s cannot be made in %s: %w. Name another folder in the "+
			"environment variable TMPDIR, with room for the logs (.mem) of the store",
			path, os.TempDir(), err)
	}
	return v, nil
}

// Open opens the database read-only. It removes the files of a private folder, which Badger has mapped by
// then: a process that is killed leaves no copies of rows there.
func (v *View) Open(options badger.Options) (*badger.DB, error) {
	options.Dir, options.ValueDir = v.path, v.path
	db, err := badger.Open(v.Marker.former(options).WithReadOnly(true))
	if err != nil || !v.private {
		return db, err
	}
	copies, _ := os.ReadDir(v.path)
	for _, file := range copies {
		// Where a mapped file cannot be removed, Close removes it.
		_ = os.Remove(filepath.Join(v.path, file.Name()))
	}
	return db, nil
}

// Discard removes the private folder of an open database, which serves on. An end of the process that does
// not close the database then leaves nothing. Closing it returns an error.
func (v *View) Discard() error {
	if !v.private {
		return nil
	}
	return os.RemoveAll(v.path)
}

// ExplainLocked returns the error for a folder that cannot be locked.
func ExplainLocked(path string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return disk.Unreadable(path, err)
	}
	return ExplainOpen(path, err)
}

// settled reports whether Badger can open the files without changing them: even in read-only mode it removes
// tables that the manifest does not name, and requires logs that end with their last transaction.
func (f *Findings) settled() bool {
	if len(f.strays) > 0 || f.unfinished {
		return false
	}
	for _, log := range f.logs {
		if log.Blank || log.PutOff || log.End != log.Size {
			return false
		}
	}
	for _, file := range f.listing.Values {
		if file.Size == 0 {
			return false
		}
	}
	return true
}

// fill creates a folder with a manifest, links to the other files that Badger reads, and truncated copies of
// logs, if Badger cannot read the store as it is.
func (v *View) fill() (err error) {
	if v.path, err = os.MkdirTemp("", "sessions-look-"); err != nil {
		return err
	}
	v.private = true
	source, err := filepath.Abs(v.Found.Path)
	if err != nil {
		return err
	}
	manifest := filepath.Join(v.path, files.ManifestFile)
	if err := os.WriteFile(manifest, v.Found.manifest.Bytes(), 0o600); err != nil {
		return err
	}
	var names []string
	if v.Found.listing.KeyRegistry {
		names = append(names, files.KeyRegistry)
	}
	for id := range v.Found.Tables {
		names = append(names, files.TableName(id))
	}
	for _, file := range v.Found.listing.Values {
		if file.Size > 0 {
			names = append(names, file.Name)
		}
	}
	for _, name := range names {
		if err := os.Symlink(filepath.Join(source, name), filepath.Join(v.path, name)); err != nil {
			return err
		}
	}
	for _, log := range v.Found.logs {
		if log.Entries == 0 {
			continue
		}
		name := filepath.Join(v.path, files.LogName(log.ID))
		if err := copyLog(filepath.Join(source, log.Name), name, log.End); err != nil {
			return err
		}
	}
	return nil
}

func copyLog(from, to string, end int64) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(target, source, end)
	return errors.Join(err, target.Close())
}

// Close releases the store. The view may be nil, for a database that is open for changes.
func (v *View) Close() error {
	if v == nil {
		return nil
	}
	return errors.Join(v.Discard(), v.unlock())
}
