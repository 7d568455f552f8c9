package folder

// The marker identifies a folder as a session store and records the files that it must have.

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// The marker identifies a folder as a session store, and describes it, without opening the database. It is
// text. The first line is MarkerFormat, which may be the only one if no newer program has opened the store.
// Lines of a name and a value follow, and the line "end":
//
//	store ID              id of the data, which the database must have too
//	state open|closed     open while a process has the database open, and after one that was killed
//	memory_table BYTES    size of the memory tables when the database was last opened
//	log NUMBER            number of the newest log (.mem): while open, it or a newer one must exist
//	values NUMBER:BYTES   a required file of the value log, and its minimum length; one per line
//
// Without the line "state" a store can be opened without its required logs: their contents are then lost.
//
// Unknown lines are kept. The marker is written when a store is opened and closed, and when a log or a file
// of the value log is created or collected, which is rare; no write of a session waits for it.
const (
	MarkerFormat = "fosite-sessions badger format %d\n"
	markerEnd    = "end"
)

// States of a store.
const (
	StateOpen   = "open"
	StateClosed = "closed"
)

// Marker is the contents of the file.
type Marker struct {
	Format int
	// Store and State are empty, and MemoryTable is 0, if the marker has only its first line.
	Store       string
	State       string
	MemoryTable int64
	Log         uint64
	Values      map[uint64]int64
	// others are lines unknown to this program.
	others []string
	// Written is the text on disk.
	Written string
	// synced are the files that this process has synced.
	synced map[string]bool
	// damaged: the file's contents are not a marker.
	damaged bool
}

var errMarkerDamaged = errors.New("is not readable as the marker of a session store")

// ReadMarker returns the marker of a session store, if the folder is one and its format is known. If the
// marker is damaged or missing, as after a power loss on some file systems, but there is a database, it
// returns a marker without a store id: the database must supply it.
func ReadMarker(path string) (*Marker, error) {
	file := filepath.Join(path, disk.MarkerFile)
	_, err := os.Stat(filepath.Join(path, files.ManifestFile))
	database := err == nil
	text, err := os.ReadFile(file)
	switch missing := errors.Is(err, os.ErrNotExist); {
	case missing && !database:
		return nil, ticketstore.Invalidf("path",
			"%s holds something that is not a session store: choose an empty folder", path)
	case err != nil && !missing:
		return nil, disk.Unreadable(path, err)
	}
	m, err := parseMarker(string(text))
	switch {
	case err != nil && database:
		return &Marker{Format: layout.Version, damaged: true}, nil
	case err != nil:
		return nil, ticketstore.Invalidf("path", "%s %v", file, err)
	}
	if m.Format > layout.Version {
		return nil, ticketstore.Invalidf("path",
			"%s has format %d, newer than %d, the newest that this plugin knows: use a newer plugin",
			path, m.Format, layout.Version)
	}
	return m, nil
}

func parseMarker(text string) (*Marker, error) {
	m := &Marker{Values: map[uint64]int64{}}
	first, rest, _ := strings.Cut(text, "\n")
	if _, err := fmt.Sscanf(first+"\n", MarkerFormat, &m.Format); err != nil || m.Format < 1 {
		return nil, errMarkerDamaged
	}
	if rest == "" {
		return m, nil
	}
	lines, whole := strings.CutSuffix(rest, markerEnd+"\n")
	if !whole {
		return nil, errMarkerDamaged
	}
	for line := range strings.Lines(lines) {
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, " ")
		if err := m.take(name, value); err != nil {
			return nil, errMarkerDamaged
		}
		if !slices.Contains(markerNames, name) {
			m.others = append(m.others, line)
		}
	}
	return m, nil
}

var markerNames = []string{"store", "state", "memory_table", "log", "values"}

func (m *Marker) take(name, value string) (err error) {
	switch name {
	case "store":
		m.Store = value
	case "state":
		m.State = value
	case "memory_table":
		m.MemoryTable, err = strconv.ParseInt(value, 10, 64)
	case "log":
		m.Log, err = strconv.ParseUint(value, 10, 64)
	case "values":
		var id uint64
		var size int64
		_, err = fmt.Sscanf(value, "%d:%d", &id, &size)
		m.Values[id] = size
	}
	return err
}

func (m *Marker) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, MarkerFormat, m.Format)
	if m.Store == "" {
		return text.String()
	}
	fmt.Fprintf(&text, "store %s\nstate %s\nmemory_table %d\nlog %d\n",
		m.Store, m.State, m.MemoryTable, m.Log)
	for _, id := range slices.Sorted(maps.Keys(m.Values)) {
		fmt.Fprintf(&text, "values %d:%d\n", id, m.Values[id])
	}
	for _, line := range m.others {
		fmt.Fprintln(&text, line)
	}
	fmt.Fprintln(&text, markerEnd)
	return text.String()
}

// Write atomically replaces the folder's marker.
func (m *Marker) Write(path string) error {
	text, mode := m.String(), fs.FileMode(0o600)
	if disk.OfGroup(path) {
		mode = disk.FileOfGroup
	}
	if err := smallfile.Write(filepath.Join(path, disk.MarkerFile), []byte(text), mode); err != nil {
		return fmt.Errorf("write the marker: %w", err)
	}
	m.Written, m.damaged = text, false
	return nil
}

// Note records which logs and files of the value log an open database has. They are synced before the marker
// requires them: otherwise a power loss would leave a store that is refused.
func (m *Marker) Note(path string) error {
	if err := disk.ShareFiles(path); err != nil {
		return err
	}
	listing, err := files.List(path)
	if err != nil {
		return err
	}
	log, values := m.Log, map[uint64]int64{}
	var asked []files.File
	for _, file := range listing.Logs {
		header, _, err := files.Begins(path, file)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // Badger has removed it meanwhile
			return err
		}
		if header {
			log, asked = file.ID, append(asked, file)
		}
	}
	for i, file := range listing.Values {
		_, value, err := files.Begins(path, file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if !value {
			continue
		}
		// the last is longer than what was written
		values[file.ID], asked = files.LogHeader, append(asked, file)
		if i < len(listing.Values)-1 {
			values[file.ID] = file.Size
		}
	}
	if err := m.sync(path, asked); err != nil {
		return err
	}
	m.Log, m.Values = log, values
	return nil
}

// ErrSync means that the contents of a file may not be on disk, and that repeating the sync does not show it.
var ErrSync = errors.New("the database cannot be synced")

// sync syncs files in order if one of them is new: the contents of an older log must not be lost if a newer
// one is kept.
func (m *Marker) sync(path string, asked []files.File) error {
	if !slices.ContainsFunc(asked, func(file files.File) bool { return !m.synced[file.Name] }) {
		return nil
	}
	synced := map[string]bool{}
	for _, file := range asked {
		opened, err := os.OpenFile(filepath.Join(path, file.Name), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed by Badger meanwhile
		}
		if err != nil {
			return err
		}
		if err := errors.Join(opened.Sync(), opened.Close()); err != nil {
			return fmt.Errorf("%w: %w", ErrSync, err)
		}
		synced[file.Name] = true
	}
	m.synced = synced
	return smallfile.SyncFolder(path)
}

// MarkerAt returns the marker of a store that must exist.
func MarkerAt(path string) (*Marker, error) {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ticketstore.Invalidf("path", "%s does not exist", path)
	case err != nil:
		return nil, ticketstore.Invalidf("path", "cannot be read as a folder: %v%s", err, disk.OwnedBy(path))
	case len(entries) == 0:
		return nil, ticketstore.Invalidf("path", "%s is empty: there is no session store in it", path)
	}
	return ReadMarker(path)
}
