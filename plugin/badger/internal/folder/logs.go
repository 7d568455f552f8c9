package folder

// Logs that a killed process left, brought to tables one at a time.

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
)

// putOff ends the names of logs that are put off until others are in tables.
const putOff = files.LogExt + files.PutOff

// SettleLogs brings what a killed process has left in its logs to tables. Badger would read all of them into
// memory tables of the new size at once, and panics where one is too small: here they have the size that the
// process had, one after another, and nothing else goes on. From then on the memory tables may have the size
// of the options.
func SettleLogs(m *Marker, o badger.Options, failed func() error) error {
	logs, err := files.Names(o.Dir, files.LogExt)
	if err != nil {
		return err
	}
	if len(logs) > 0 && m.State == StateOpen {
		m.State = StateClosed // from here on its logs may be gone
		if err := m.Write(o.Dir); err != nil {
			return err
		}
	}
	settling := m.former(o).WithNumCompactors(0).WithNumLevelZeroTablesStall(math.MaxInt).
		WithCompression(options.None) // which takes twice the memory; a compaction makes up for it
	for i := range logs {
		if err := settleFirst(settling, logs[i:], failed); err != nil {
			return errors.Join(err, restoreLogs(o.Dir))
		}
	}
	if m.MemoryTable == o.MemTableSize || m.Store == "" {
		return nil
	}
	m.MemoryTable = o.MemTableSize
	return m.Write(o.Dir)
}

// settleFirst brings the first of some logs to a table, while the others are put off.
func settleFirst(o badger.Options, logs []string, failed func() error) error {
	for _, name := range logs[1:] {
		if err := putOffLog(o.Dir, name); err != nil {
			return err
		}
	}
	db, err := OpenReleased(o)
	if err != nil {
		return ExplainOpen(o.Dir, err)
	}
	// Badger only logs what it could not write.
	if err := errors.Join(db.Close(), failed()); err != nil {
		return fmt.Errorf("write the log %s to a table: %w", logs[0], err)
	}
	return restoreLogs(o.Dir)
}

// OpenReleased opens a database that this process has just closed, or that no process has open.
func OpenReleased(o badger.Options) (*badger.DB, error) {
	return disk.OpenReleased(func() (*badger.DB, error) { return badger.Open(o) })
}

func putOffLog(folder, name string) error {
	whole := filepath.Join(folder, name)
	return os.Rename(whole, strings.TrimSuffix(whole, files.LogExt)+putOff)
}

// restoreLogs takes back what SettleLogs has put off, also what a killed process did. A log of that name that
// is there meanwhile is one that Badger began, with nothing in it.
func restoreLogs(folder string) error {
	names, err := files.Names(folder, putOff)
	for _, name := range names {
		whole := filepath.Join(folder, name)
		err = errors.Join(err, os.Rename(whole, strings.TrimSuffix(whole, putOff)+files.LogExt))
	}
	return err
}

// former returns options that read the logs of a store which its last process has left.
func (m *Marker) former(o badger.Options) badger.Options {
	size := m.MemoryTable
	if size == 0 {
		size = badger.DefaultOptions("").MemTableSize // as before there was a setting
	}
	// Badger wants a value to fit into a transaction, of which there are none.
	return o.WithMemTableSize(size).WithValueThreshold(min(o.ValueThreshold, size/10))
}
