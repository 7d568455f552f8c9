package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/smallfile"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// The marker tells a session store from any other folder, and what it is, without opening the database. It is text. The first line is
// markerFormat; that may be all, in a store that no newer program has opened. Lines of a name and a value follow, and the line "end":
//
//	store ID              of the data: the database has to have the same
//	state open|closed     open from when a process has opened the database until it has closed it; a killed one leaves it open
//	memory_table BYTES    size of the memory tables that the database was last opened with
//
// Lines that this program does not know are kept. The marker is written when a store is opened and closed, never in between.
const (
	markerFile   = "SESSIONS"
	markerFormat = "fosite-sessions badger format %d\n"
	markerEnd    = "end"
)

const (
	stateOpen   = "open"
	stateClosed = "closed"
)

type marker struct {
	format int
	// store and state are empty, and memoryTable is 0, in a marker that has the first line alone.
	store       string
	state       string
	memoryTable int64
	// others are the lines that this program does not know.
	others []string
}

var errMarkerDamaged = errors.New("is not readable as the marker of a session store")

// readMarker returns the marker of a session store, if the folder is one and its format is known.
func readMarker(path string) (*marker, error) {
	file := filepath.Join(path, markerFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ticketstore.Invalid("path", "%s holds something that is not a session store: choose an empty folder", path)
	}
	if err != nil {
		return nil, ticketstore.Invalid("path", "cannot be read: %v", err)
	}
	m, err := parseMarker(string(text))
	if err != nil {
		return nil, ticketstore.Invalid("path", "%s %v", file, err)
	}
	if m.format > formatVersion {
		return nil, ticketstore.Invalid("path", "%s has format %d, newer than %d, the newest that this plugin knows: use a newer plugin",
			path, m.format, formatVersion)
	}
	return m, nil
}

func parseMarker(text string) (*marker, error) {
	m := &marker{}
	first, rest, _ := strings.Cut(text, "\n")
	if _, err := fmt.Sscanf(first+"\n", markerFormat, &m.format); err != nil || m.format < 1 {
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
		switch name {
		case "store":
			m.store = value
		case "state":
			m.state = value
		case "memory_table":
			var err error
			if m.memoryTable, err = strconv.ParseInt(value, 10, 64); err != nil || m.memoryTable < 0 {
				return nil, errMarkerDamaged
			}
		default:
			m.others = append(m.others, line)
		}
	}
	return m, nil
}

func (m *marker) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, markerFormat, m.format)
	if m.store == "" {
		return text.String()
	}
	fmt.Fprintf(&text, "store %s\nstate %s\nmemory_table %d\n", m.store, m.state, m.memoryTable)
	for _, line := range m.others {
		fmt.Fprintln(&text, line)
	}
	fmt.Fprintln(&text, markerEnd)
	return text.String()
}

// write makes the marker that of the folder, whole or not at all.
func (m *marker) write(path string) error {
	if err := smallfile.Write(filepath.Join(path, markerFile), []byte(m.String()), 0o600); err != nil {
		return fmt.Errorf("write the marker: %w", err)
	}
	return nil
}

// close marks a store as closed whose database was closed without an error. Another process may have it open already: then that one's marker
// stays.
func (m *marker) close(path string) error {
	unlock, err := lockFolder(path, false)
	if errors.Is(err, errInUse) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("mark the store as closed: %w", err)
	}
	m.state = stateClosed
	return errors.Join(m.write(path), unlock())
}
