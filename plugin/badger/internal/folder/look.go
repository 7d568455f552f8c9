package folder

// The check of a store's files before Badger opens them: none may be missing.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Findings are the results of checking the files of a store.
type Findings struct {
	Path    string
	listing *files.Listing
	keys    *files.Keys
	// manifest is the one to use. unfinished: it differs from the folder's, from which changes must be
	// removed.
	manifest   *files.Manifest
	unfinished bool
	// storeID is the id in the database, empty if there is none or if noID is set, the error of reading it.
	storeID string
	noID    error
	// Tables are the tables of the database, logs the logs of its memory tables.
	Tables map[uint64]*files.Table
	logs   []*files.Log
	// strays are tables left by a crash, which the database does not need.
	strays []files.File
	// warnings are for the operator, about a store that can be opened.
	warnings []slog.Attr
}

// Look checks the files of a store before Badger opens them, read-only. Badger itself uses whatever it finds:
// it deletes every table that its manifest does not name, and skips what it cannot read. Here an incomplete
// store is refused, and nothing in its folder is changed. What cannot be distinguished from a crash is
// accepted: the end of the newest log, or of the newest file of the value log, may be missing.
func Look(path string, m *Marker, encryption []byte) (*Findings, error) {
	listing, err := files.List(path)
	if err != nil {
		return nil, disk.Unreadable(path, err)
	}
	f := &Findings{Path: path, listing: listing, Tables: map[uint64]*files.Table{}}
	if !listing.Manifest {
		if m.Store == "" && len(listing.Tables)+len(listing.Logs)+len(listing.Values) == 0 {
			return f, nil // Badger has not been here yet
		}
		return nil, f.missing(files.ManifestFile)
	}
	if f.keys, err = files.ReadKeys(path, encryption); err != nil {
		return nil, f.explain(files.KeyRegistry, err)
	}
	manifest, err := f.lookAtManifest()
	if err != nil {
		return nil, f.explain(files.ManifestFile, err)
	}
	for _, look := range []func(*files.Tables, *Marker) error{
		f.lookAtTables, f.lookAtLogs, f.lookAtStrays, f.lookAtValues, f.lookForID,
	} {
		if err := look(manifest, m); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// lookAtManifest returns the tables of the database, without unfinished changes.
func (f *Findings) lookAtManifest() (tables *files.Tables, err error) {
	if f.manifest, err = files.ReadManifest(f.Path); err != nil {
		return nil, err
	}
	if f.unfinished, err = isUnfinished(f.Path); err != nil {
		return nil, err
	}
	if f.unfinished {
		there := map[uint64]bool{}
		for _, table := range f.listing.Tables {
			there[table.ID] = true
		}
		f.manifest = finished(f.manifest, func(id uint64) bool { return there[id] })
	}
	return f.manifest.Tables()
}

// lookForID reads the id of the database's store. It is written once, so the first place that has it is
// authoritative.
func (f *Findings) lookForID(*files.Tables, *Marker) error {
	for _, log := range f.logs {
		if log.Found != nil {
			f.storeID = string(log.Found)
			return nil
		}
	}
	for id, table := range f.Tables {
		value, err := table.Get(layout.StoreIDKey)
		if err != nil {
			f.noID = f.explain(files.TableName(id), err)
			continue
		}
		if value != nil {
			f.storeID = string(value)
			return nil
		}
	}
	return nil
}

// lookAtTables requires every table of the manifest.
func (f *Findings) lookAtTables(manifest *files.Tables, _ *Marker) error {
	for id, about := range manifest.Live {
		table, err := files.ReadTable(f.Path, id, about, f.keys, layout.StoreIDKey)
		if err != nil {
			return f.explain(files.TableName(id), err)
		}
		f.Tables[id] = table
	}
	return nil
}

// lookAtLogs requires that nothing is missing between the tables and the end of the newest log. Versions of
// transactions are consecutive, and the committer writes a row in each that compactions keep.
func (f *Findings) lookAtLogs(_ *files.Tables, m *Marker) error {
	newest := uint64(0)
	for _, file := range f.listing.Logs {
		log, err := files.ReadLog(f.Path, file, f.keys, layout.StoreIDKey)
		if err != nil {
			return f.explain(file.Name, err)
		}
		f.logs = append(f.logs, log)
		if !log.Blank {
			newest = log.ID
		}
	}
	if m.State != StateOpen {
		return nil
	}
	if newest < m.Log || newest == 0 {
		return f.missing(fmt.Sprintf("%05d.mem, or a newer one", m.Log))
	}
	covered := f.newestTable()
	for i, log := range f.logs {
		if log.Entries == 0 {
			continue
		}
		if log.First > covered+1 {
			return f.refuse(fmt.Sprintf(
				"what was written before %s is missing: the log before it was removed or cut", log.Name))
		}
		covered = max(covered, log.Last)
		if last := i == len(f.logs)-1 || f.logs[i+1].Blank; last && (log.Torn || log.Size < 2*m.MemoryTable) {
			f.warn(log.Name, log.End)
		}
	}
	return nil
}

// newestTable returns the newest version in the tables.
func (f *Findings) newestTable() (version uint64) {
	for _, table := range f.Tables {
		version = max(version, table.Version)
	}
	return version
}

// lookAtStrays checks tables that the manifest does not name. A crash during a compaction or a flush leaves
// them: then everything in them is elsewhere too. A table with something newer means that the manifest was
// truncated.
func (f *Findings) lookAtStrays(manifest *files.Tables, _ *Marker) error {
	newest := f.newestTable()
	for _, file := range f.listing.Tables {
		if _, live := manifest.Live[file.ID]; live {
			continue
		}
		f.strays = append(f.strays, file)
		if manifest.Dropped[file.ID] {
			continue
		}
		table, err := files.ReadStray(f.Path, file.ID, f.keys)
		if errors.Is(err, files.ErrTable) {
			continue // it was never completed
		}
		if err != nil {
			return f.explain(file.Name, err)
		}
		logged := slices.ContainsFunc(f.logs, func(log *files.Log) bool { return log.Last == table.Version })
		if table.Version > newest && !logged {
			return f.refuse(fmt.Sprintf("its %s does not know of %s, which has newer rows than all that it "+
				"knows", files.ManifestFile, file.Name))
		}
	}
	return nil
}

// lookAtValues requires the files of the value log that the marker and the logs name.
func (f *Findings) lookAtValues(_ *files.Tables, m *Marker) error {
	wanted := map[uint64]int64{}
	for _, log := range f.logs {
		for id := range log.Values {
			wanted[id] = files.LogHeader
		}
	}
	for id, size := range m.Values {
		wanted[id] = max(wanted[id], size)
	}
	for _, file := range f.listing.Values {
		size, named := wanted[file.ID]
		delete(wanted, file.ID)
		if !named {
			continue
		}
		if err := f.lookAtValue(file, size, m); err != nil {
			return err
		}
	}
	for id := range wanted {
		return f.missing(fmt.Sprintf("%06d.vlog", id))
	}
	return nil
}

func (f *Findings) lookAtValue(file files.File, size int64, m *Marker) error {
	header, _, err := files.Begins(f.Path, file)
	switch {
	case err != nil:
		return f.explain(file.Name, err)
	case !header:
		return f.refuse(file.Name + " is empty or overwritten")
	case file.Size < size:
		return f.refuse(fmt.Sprintf("%s is cut to %d of %d bytes", file.Name, file.Size, size))
	case file.ID != f.listing.Values[len(f.listing.Values)-1].ID:
		return nil
	}
	// A file of the value log has the format of a log, with entries outside of transactions.
	log, err := files.ReadLog(f.Path, file, f.keys, nil)
	switch {
	case err != nil:
		return f.explain(file.Name, err)
	case log.Torn && m.State == StateClosed:
		return f.refuse(file.Name + " is cut or overwritten")
	case log.Torn || log.End == files.LogHeader:
		f.warn(file.Name, log.End)
	}
	return nil
}

func (f *Findings) warn(name string, end int64) {
	f.warnings = append(f.warnings, slog.Group(name, slog.Int64("ends_at", end)))
}

// Report logs the findings.
func (f *Findings) Report(ctx context.Context, m *Marker, logger *slog.Logger) {
	if m.damaged {
		logger.LogAttrs(ctx, slog.LevelWarn,
			"the marker of the store is damaged or missing, as after a power loss: "+
				"the database says which store it is, and a start writes the marker again",
			slog.String("path", f.Path))
	}
	if len(f.warnings) > 0 {
		logger.LogAttrs(ctx, slog.LevelWarn,
			"the store was not closed: its newest log ends in a write that was not finished, or was cut",
			append([]slog.Attr{slog.String("path", f.Path)}, f.warnings...)...)
	}
}

// idle reports whether the logs hold nothing that is not in the tables: the store is as good as closed.
func (f *Findings) idle() bool {
	return !slices.ContainsFunc(f.logs, func(log *files.Log) bool { return log.Entries > 0 })
}

// fit refuses a database with a different store id than the marker's.
func (f *Findings) fit(m *Marker) error {
	what := "the database is that of another one, " + f.storeID
	switch {
	case m.Store == "" && !m.damaged:
		return nil
	case f.storeID == "" && f.noID != nil:
		return f.noID
	case f.storeID == "" && m.damaged:
		return ticketstore.Invalidf("path",
			"%s holds a database that is not a session store's, and no marker: choose an empty folder",
			f.Path)
	case m.damaged:
		m.Store = f.storeID
		return nil
	case m.Store == f.storeID:
		return nil
	case f.storeID == "":
		what = "the database is that of none"
	}
	return f.refuse(fmt.Sprintf("the marker is that of the store %s, and %s", m.Store, what))
}

// sweep removes files without contents, on which Badger fails: a crash leaves such a log or file of the value
// log just after its creation or just before its removal. Truncated discard statistics are created anew.
func (f *Findings) sweep() error {
	var names []string
	for _, file := range slices.Concat(f.listing.Logs, f.listing.Values) {
		if file.Size == 0 {
			names = append(names, file.Name)
		}
	}
	if size := f.listing.Discard; size > 0 && size < discardSize {
		names = append(names, files.Discard)
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(f.Path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// discardSize is the minimum size of that file in Badger.
const discardSize = 1 << 20

func (f *Findings) missing(name string) error { return f.refuse(name + " is missing") }

// refuse returns the error for an incomplete store, including what can be done.
func (f *Findings) refuse(what string) error {
	return ticketstore.Invalidf("path",
		"%s is not whole: %s. Nothing was changed. Put back the files as they were, "+
			"all of one moment; otherwise import a backup into an empty folder", f.Path, what)
}

// explain describes what is wrong with a file.
func (f *Findings) explain(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return disk.Unreadable(f.Path, err)
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return ExplainOpen(f.Path, err)
	case errors.Is(err, fs.ErrNotExist):
		return f.missing(name)
	case errors.Is(err, files.ErrRegistry) && name == files.KeyRegistry:
		return f.refuse(name + " is damaged (a store that was never encrypted can do without it: remove it)")
	case errors.Is(err, files.ErrRegistry):
		return f.refuse(fmt.Sprintf("%s does not have the key of %s", files.KeyRegistry, name))
	}
	return f.refuse(fmt.Sprintf("%s cannot be read: %v", name, err))
}
