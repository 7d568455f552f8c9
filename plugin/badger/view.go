package badger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
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
	if v.found, err = lookAt(path, v.marker, encryption); err != nil {
		return v, err
	}
	if !v.found.listing.Manifest {
		return v, v.found.missing(files.ManifestFile)
	}
	if err := v.found.fit(v.marker); err != nil {
		return v, err
	}
	if v.found.settled() {
		return v, nil
	}
	if err := v.fill(); err != nil {
		return v, fmt.Errorf("a private view of %s cannot be made in %s: %w. Name another folder in the "+
			"environment variable TMPDIR, with room for the logs (.mem) of the store", path, os.TempDir(), err)
	}
	return v, nil
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

// settled reports whether Badger opens the files as they are, without changing any of them: even for reading
// only it removes tables that the manifest does not name, and wants logs that end where their last
// transaction does.
func (f *findings) settled() bool {
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

// fill makes a folder with a manifest, links to what else Badger reads, and copies of logs up to their end,
// where Badger cannot read the store as it is.
func (v *view) fill() (err error) {
	if v.path, err = os.MkdirTemp("", "sessions-look-"); err != nil {
		return err
	}
	v.private = true
	source, err := filepath.Abs(v.found.path)
	if err != nil {
		return err
	}
	manifest := filepath.Join(v.path, files.ManifestFile)
	if err := os.WriteFile(manifest, v.found.manifest.Bytes(), 0o600); err != nil {
		return err
	}
	var names []string
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
