// Package offline implements the commands shared by the binaries of all engines: check, stats, export, import
// and migrate. Each command has its own file. An Engine describes what differs between engines.
package offline

import (
	"context"
	"flag"
	"fmt"
	"log/slog"

	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Engine is what the commands need from an engine.
type Engine struct {
	// About is the engine's description without a store.
	About ticketstore.Description
	// Where completes "keeps the sessions of an authorization server in ...", When "Offline commands, ...".
	Where, When string
	// Argument is the argument that names a store, such as "FOLDER", or empty if flags name it.
	Argument string
	// Empty is the destination for an import, such as "an empty folder".
	Empty string
	// Flags declares the engine's own flags, FlagLines are their lines in the help.
	Flags     func(flags *flag.FlagSet)
	FlagLines string
	// At returns the store named by the argument and the flags, without opening it.
	At func(argument string, logger *slog.Logger) (Place, error)
}

// Place is a store that may be opened.
type Place interface {
	// String names it in messages.
	String() string
	// ReadOnly opens the store without changing it.
	ReadOnly(ctx context.Context) (Store, error)
	// Open opens or creates the store, to restore a backup into it.
	Open(ctx context.Context) (Target, error)
	// Migrate migrates the store to the newest format.
	Migrate(ctx context.Context) (from, to int, err error)
	// Vacant reports whether there is no store yet. It returns an error if none can be created there.
	Vacant(ctx context.Context) (bool, error)
	// Damage returns a finding for each unreadable file. If there are any, the store must not be opened.
	Damage(ctx context.Context) ([]Finding, error)
}

// Target is a store that a backup is restored into.
type Target interface {
	Describe(ctx context.Context) (ticketstore.Description, error)
	Transfer() transfer.Store
	Close() error
}

// Store is a store opened read-only.
type Store interface {
	// Format returns the format of the store when it was opened, and the newest format, which the engine
	// writes.
	Format() (opened, newest int)
	Transfer() transfer.Store
	Check(ctx context.Context, config CheckConfig) (*Report, error)
	Stats(ctx context.Context) (Stats, error)
	Close() error
}

// Stats are the figures of a store. They are encoded as JSON.
type Stats interface {
	// Lines returns the figures as text, each with its name.
	Lines() [][2]string
}

// Finding is a fault in a store.
type Finding struct {
	// Table is the table or index, and ID identifies the row by ids, never by the key of a session or a
	// grant.
	Table string `json:"table"`
	ID    string `json:"id,omitempty"`
	// Problem describes the fault.
	Problem string `json:"problem"`
}

func (f Finding) String() string {
	if f.ID == "" {
		return f.Table + ": " + f.Problem
	}
	return fmt.Sprintf("%s, %s: %s", f.Table, f.ID, f.Problem)
}

// Report is the result of a check.
type Report struct {
	// State is the store's state in a move, and Peer the other store of the latest move. A store that is
	// Importing or Abandoned is incomplete, which is not a finding, because it does not serve. Of an
	// Abandoned store, which may be partly emptied, only the ledger is checked.
	State transfer.State `json:"state"`
	Peer  string         `json:"peer,omitempty"`
	// Records counts the rows that move with a store, Entries the derived rows.
	Records int64 `json:"records"`
	Entries int64 `json:"entries"`
	// Findings are at most as many as requested. More is set if there are others.
	Findings []Finding `json:"findings"`
	More     bool      `json:"more"`
	// SetAside counts damaged rows that were set aside. They are not findings: nothing leads to them.
	SetAside int64 `json:"set_aside"`
}

// CheckConfig configures a check and receives its progress.
type CheckConfig struct {
	// MaxFindings bounds the findings in the report: DefaultMaxFindings if zero.
	MaxFindings int
	// Files also verifies the checksums of the store's files, if it has any.
	Files bool
	// Ages finds rows that should have been purged long ago, relative to the latest write.
	Ages bool
	// Progress, if set, is called with the number of rows done and their approximate total.
	Progress func(done, total int64)
}

// DefaultMaxFindings is the default bound of the findings in a report.
const DefaultMaxFindings = 100
