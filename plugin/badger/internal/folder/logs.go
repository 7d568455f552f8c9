package folder

// Logs left by a killed process, flushed to tables one at a time.

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

// putOff is the ending of logs that are hidden until others are flushed.
const putOff = files.LogExt + files.PutOff

// SettleLogs flushes the logs left by a killed process to tables. Badger would read all of them into memory
// tables of the new size at once, and panic if one is too small. Here they are read one after another with
// the size that the process used, and nothing else runs. After that the memory tables may have the size in
// the options.
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
		WithCompression(options.None) // compression takes twice the memory; a compaction does it later
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

// settleFirst flushes the first of some logs to a table, while the others are hidden.
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
	// Badger only logs failed writes.
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

// restoreLogs renames the logs that SettleLogs has hidden, also in a killed process, back. An existing log of
// the same name is an empty one created by Badger.
func restoreLogs(folder string) error {
	names, err := files.Names(folder, putOff)
	for _, name := range names {
		whole := filepath.Join(folder, name)
		err = errors.Join(err, os.Rename(whole, strings.TrimSuffix(whole, putOff)+files.LogExt))
	}
	return err
}

// former returns options for reading the logs left by the last process of a store.
func (m *Marker) former(o badger.Options) badger.Options {
	size := m.MemoryTable
	if size == 0 {
		size = badger.DefaultOptions("").MemTableSize // the only size before there was a setting
	}
	// Badger requires that a value fit into a transaction; there are none here.
	return o.WithMemTableSize(size).WithValueThreshold(min(o.ValueThreshold, size/10))
}
