package badger

// Offline operations for operators: check, figures, ownership of the folder. Called by package cli.

import (
	"context"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/check"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
)

type (
	// Report is the result of a check.
	Report = check.Report
	// Finding is a fault found in a database.
	Finding = check.Finding
	// CheckConfig configures a check and receives its progress.
	CheckConfig = check.Config
	// Stats are the figures of a database.
	Stats = check.Stats
)

// Check verifies the whole database, in one snapshot: every index entry belongs to a record, and every record
// has its entries; in a complete store a grant has its session or its ended record; counts and sums are
// right. It reads every row once, in order, and again only where something is wrong, so its memory does not
// grow with the database. It may run while the engine is in use.
func (e *Engine) Check(ctx context.Context, config CheckConfig) (*Report, error) {
	return check.Run(ctx, e.db, config)
}

// CheckFiles reads every table of a database that no process has open, without opening the database, and
// returns a finding for each damaged table.
func CheckFiles(ctx context.Context, settings Settings) ([]Finding, error) {
	encryption, err := settings.validate()
	if err != nil {
		return nil, err
	}
	return check.Files(ctx, settings.Path, encryption)
}

// Stats returns the database's own counts, its jobs and its files. If an older format lacks counts, the
// records are counted.
func (e *Engine) Stats(ctx context.Context) (*Stats, error) { return check.Measure(ctx, e.db) }

// CheckOwner refuses a folder of another user, with an error that names the user and how to run the command
// as that user: files written by root would be unreadable for the owner's server. A missing folder has no
// owner. A folder shared by a group is accepted as by Open, but for root only if the store in it belongs to
// root.
func CheckOwner(path string) error { return disk.CheckOwner(path) }
