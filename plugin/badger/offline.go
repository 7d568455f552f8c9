package badger

// What an operator asks of a database: a check, figures, whose its folder is. Package cli calls it.

import (
	"context"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/check"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
)

type (
	// Report is the outcome of a check.
	Report = check.Report
	// Finding is something that is not as it should be in a database.
	Finding = check.Finding
	// CheckConfig says what to check, and receives its progress.
	CheckConfig = check.Config
	// Stats say what is in a database.
	Stats = check.Stats
)

// Check compares all of a database, in one snapshot, with the rules of records and indexes. Every index entry
// belongs to a record, and every record has its entries. In a store that is complete, a grant has its session
// or its ended record. Counts and sums are right. Check reads every row once, in order, and a second time
// where something is wrong, so its memory does not grow with the database. It may be called while the engine
// works.
func (e *Engine) Check(ctx context.Context, config CheckConfig) (*Report, error) {
	return check.Run(ctx, e.db, config)
}

// CheckFiles reads every table of a database that no process has open, without opening it, and returns a
// finding for each that is damaged.
func CheckFiles(ctx context.Context, settings Settings) ([]Finding, error) {
	encryption, err := settings.validate()
	if err != nil {
		return nil, err
	}
	return check.Files(ctx, settings.Path, encryption)
}

// Stats reads what the database keeps account of, its jobs and its files. An older format keeps less account:
// its records are counted.
func (e *Engine) Stats(ctx context.Context) (*Stats, error) { return check.Measure(ctx, e.db) }

// CheckOwner refuses the folder of another user, naming that and how to run a command as it: what root
// would write there a server of its owner could not read. A folder that is missing has no owner, and one of
// a group is taken as Open takes it, but not by root, unless the store in it is root's.
func CheckOwner(path string) error { return disk.CheckOwner(path) }
