package badger

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
)

// The names of Badger's logs, each of which holds what a memory table has, and of those that are put off
// until others are in tables.
const (
	logSuffix = ".mem"
	putOff    = logSuffix + files.PutOff
)

// settleLogs brings what a killed process has left in its logs to tables. Badger would read all of them into
// memory tables of the new size at once, and panics where one is too small: here they have the size that the
// process had, one after another, and nothing else goes on. From then on the memory tables may have the size
// of the options.
func settleLogs(m *marker, o badger.Options, failure *failure) error {
	logs, err := namesOf(o.Dir, logSuffix)
	if err != nil {
		return err
	}
	if len(logs) > 0 && m.state == stateOpen {
		m.state = stateClosed // from here on its logs may be gone
		if err := m.write(o.Dir); err != nil {
			return err
		}
	}
	settling := m.former(o).WithNumCompactors(0).WithNumLevelZeroTablesStall(math.MaxInt).
		WithCompression(options.None) // which takes twice the memory; a compaction makes up for it
	for i := range logs {
		if err := settleFirst(settling, logs[i:], failure); err != nil {
			return errors.Join(err, restoreLogs(o.Dir))
		}
	}
	if m.memoryTable == o.MemTableSize || m.store == "" {
		return nil
	}
	m.memoryTable = o.MemTableSize
	return m.write(o.Dir)
}

// settleFirst brings the first of some logs to a table, while the others are put off.
func settleFirst(o badger.Options, logs []string, failure *failure) error {
	for _, name := range logs[1:] {
		if err := putOffLog(o.Dir, name); err != nil {
			return err
		}
	}
	db, err := openReleased(o)
	if err != nil {
		return explainOpen(o.Dir, err)
	}
	// Badger tells its log alone what it could not write.
	if err := errors.Join(db.Close(), failure.err()); err != nil {
		return fmt.Errorf("write the log %s to a table: %w", logs[0], err)
	}
	return restoreLogs(o.Dir)
}

// openReleased opens a database that this process has just closed, or that no process has open. Where a child is
// being started, Badger's lock of the folder is held until that runs its program.
func openReleased(o badger.Options) (*badger.DB, error) {
	for limit := time.Now().Add(lockAnswer); ; time.Sleep(lockPoll) {
		db, err := badger.Open(o)
		if err == nil || !isLocked(err) || time.Now().After(limit) {
			return db, err
		}
	}
}

func putOffLog(folder, name string) error {
	whole := filepath.Join(folder, name)
	return os.Rename(whole, strings.TrimSuffix(whole, logSuffix)+putOff)
}

// restoreLogs takes back what settleLogs has put off, also what a killed process did. A log of that name that
// is there meanwhile is one that Badger began, with nothing in it.
func restoreLogs(folder string) error {
	names, err := namesOf(folder, putOff)
	for _, name := range names {
		whole := filepath.Join(folder, name)
		err = errors.Join(err, os.Rename(whole, strings.TrimSuffix(whole, putOff)+logSuffix))
	}
	return err
}

// namesOf returns the names in a folder that end so, in their order.
func namesOf(folder, suffix string) (names []string, err error) {
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), suffix) {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// former returns options that read the logs of a store which its last process has left.
func (m *marker) former(o badger.Options) badger.Options {
	size := m.memoryTable
	if size == 0 {
		size = formerTable
	}
	// Badger wants a value to fit into a transaction, of which there are none.
	return o.WithMemTableSize(size).WithValueThreshold(min(o.ValueThreshold, size/10))
}
