package badger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// view is a store that is looked at. While it is open no other process opens the store for changes.
type view struct {
	marker *marker
	found  *findings
	// path is that of the store, or of a folder with links to its files and copies of its logs.
	path    string
	private bool
	unlock  func() error
}

// openView looks at a store and makes of it what Badger can open for reading only.
func openView(path string, encryption []byte) (v *view, err error) {
	unlock, err := lockFolder(path, true)
	if err != nil {
		return nil, explainView(path, err)
	}
	v = &view{path: path, unlock: unlock}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.close())
		}
	}()
	// Until now another process may have changed it.
	if v.marker, err = readMarker(path); err != nil {
		return v, err
	}
	if logs, err := namesOf(path, putOff); err != nil || len(logs) > 0 {
		return v, errors.Join(err, ticketstore.Invalid("path", "%s is just being started, or a start of it was interrupted: start it once", path))
	}
	if v.found, err = lookAt(path, v.marker, encryption); err != nil {
		return v, err
	}
	if !v.found.listing.Manifest {
		return v, v.found.missing(files.Manifest)
	}
	return v, v.fill()
}

func (v *view) open(options badger.Options) (*badger.DB, error) {
	options.Dir, options.ValueDir = v.path, v.path
	return badger.Open(v.marker.former(options).WithReadOnly(true))
}

// explainView says why a folder cannot be looked at.
func explainView(path string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return unreadable(path, err)
	}
	return explainOpen(path, err)
}

// settled reports whether Badger opens the files as they are, without changing any of them: even for reading only it removes tables that the
// manifest does not name, and wants logs that end where their last transaction does.
func (f *findings) settled() bool {
	if len(f.strays) > 0 {
		return false
	}
	for _, log := range f.logs {
		if log.Blank || log.End != log.Size {
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

// fit refuses a database that is not the marker's, where Badger can be asked without changing anything, or the marker does not say which it is.
// Otherwise Badger is asked once it has the database open.
func (f *findings) fit(m *marker, options badger.Options) error {
	if !m.damaged && (m.store == "" || !f.settled()) {
		return nil
	}
	v := &view{marker: m, found: f, path: f.path, unlock: func() error { return nil }}
	if err := v.fill(); err != nil {
		return errors.Join(err, v.close())
	}
	db, err := v.open(options.WithLogger(nil).WithBypassLockGuard(true).WithBlockCacheSize(1 << 20))
	if err != nil {
		return errors.Join(explainOpen(f.path, err), v.close())
	}
	if err = m.fits(db); err != nil {
		err = fmt.Errorf("open database %s: %w", f.path, err)
	}
	return errors.Join(err, db.Close(), v.close())
}

// fill makes a folder with links to what Badger reads and copies of logs up to their end, where Badger cannot read the store as it is.
func (v *view) fill() (err error) {
	if v.found.settled() {
		return nil
	}
	if v.path, err = os.MkdirTemp("", "sessions-look-"); err != nil {
		return err
	}
	v.private = true
	source, err := filepath.Abs(v.found.path)
	if err != nil {
		return err
	}
	names := []string{files.Manifest}
	if v.found.listing.KeyRegistry {
		names = append(names, files.KeyRegistry)
	}
	for id := range v.found.tables {
		names = append(names, files.TableName(id))
	}
	for _, file := range v.found.listing.Values {
		if file.Size > 0 {
			names = append(names, file.Name)
		}
	}
	for _, name := range names {
		if err := os.Symlink(filepath.Join(source, name), filepath.Join(v.path, name)); err != nil {
			return err
		}
	}
	for _, log := range v.found.logs {
		if log.Entries == 0 {
			continue
		}
		if err := copyLog(filepath.Join(source, log.Name), filepath.Join(v.path, log.Name), log.End); err != nil {
			return fmt.Errorf("a private copy of %s, to look at: %w", log.Name, err)
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

// close lets go of the store. The view may be nil, of a database that was not opened to be looked at.
func (v *view) close() (err error) {
	if v == nil {
		return nil
	}
	if v.private {
		err = os.RemoveAll(v.path)
	}
	return errors.Join(err, v.unlock())
}
