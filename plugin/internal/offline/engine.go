// Package offline has the commands that the binaries of all engines have: check, stats, export, import and
// migrate. There is one command a file. What differs between engines they say as an Engine.
package offline

import (
	"context"
	"flag"
	"fmt"
	"log/slog"

	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Engine is what the commands need of an engine.
type Engine struct {
	// About is what the engine says of itself without a store.
	About ticketstore.Description
	// Where completes "keeps the sessions of an authorization server in ...", When "Offline commands, ...".
	Where, When string
	// Argument is the argument that names a store, such as "FOLDER". Empty where flags do.
	Argument string
	// Empty is what a backup is imported into, such as "an empty folder".
	Empty string
	// Flags declares the engine's own flags, FlagLines are the lines of the help about them.
	Flags     func(flags *flag.FlagSet)
	FlagLines string
	// At returns the store that the argument and the flags name. It opens nothing.
	At func(argument string, logger *slog.Logger) (Place, error)
}

// Place is a store that may be opened.
type Place interface {
	// String names it in messages.
	String() string
	// ReadOnly opens the store to look at it: nothing in it is changed.
	ReadOnly(ctx context.Context) (Store, error)
	// Open opens the store, or makes it.
	Open(ctx context.Context) (Store, error)
	// Migrate brings the store to the newest format.
	Migrate(ctx context.Context) (from, to int, err error)
	// Vacant reports whether there is no store yet. It refuses a place in which none may be made.
	Vacant(ctx context.Context) (bool, error)
	// Damage returns a finding for each file that cannot be read. Then the store is not to be opened.
	Damage(ctx context.Context) ([]Finding, error)
}

// Store is an open store.
type Store interface {
	// Format is that of the store when it was opened, and Newest the one that the engine writes.
	Format() (opened, newest int)
	// ID names the data.
	ID() string
	Transfer() transfer.Store
	Check(ctx context.Context, config CheckConfig) (*Report, error)
	Stats(ctx context.Context) (Stats, error)
	Close() error
}

// Stats are the figures of a store. In JSON they are what they encode to.
type Stats interface {
	// Lines are the figures for people, each with its name.
	Lines() [][2]string
}

// Finding is something that is not as it should be in a store.
type Finding struct {
	// Table is the table or index, and ID what distinguishes the row from others there: ids, never a key of a
	// session or a grant.
	Table string `json:"table"`
	ID    string `json:"id,omitempty"`
	// Problem is what is wrong with it.
	Problem string `json:"problem"`
}

func (f Finding) String() string {
	if f.ID == "" {
		return f.Table + ": " + f.Problem
	}
	return fmt.Sprintf("%s, %s: %s", f.Table, f.ID, f.Problem)
}

// Report is the outcome of a check.
type Report struct {
	// State is what the store is in a move, and Peer the other store of the latest one. A store that is
	// Importing or Abandoned is not complete, which is no finding: it does not serve. Nothing but the ledger
	// of an Abandoned one is looked at: it may be half emptied too.
	State transfer.State `json:"state"`
	Peer  string         `json:"peer,omitempty"`
	// Records are the rows that move with a store, Entries those that are made from them.
	Records int64 `json:"records"`
	Entries int64 `json:"entries"`
	// Findings are at most as many as were asked for. Then More says that there are others.
	Findings []Finding `json:"findings"`
	More     bool      `json:"more"`
	// SetAside are rows that were damaged and are kept out of everybody's way. They are no findings: nothing
	// leads to them any more.
	SetAside int64 `json:"set_aside"`
}

// CheckConfig says what to check, and receives its progress.
type CheckConfig struct {
	// MaxFindings bounds the findings in the report: DefaultMaxFindings when zero.
	MaxFindings int
	// Files checks the sums of the store's files too, where it has any.
	Files bool
	// Ages looks for what should have been purged long ago, by the latest moment that the store knows of.
	Ages bool
	// Progress, if set, is given how many rows of about how many were looked at.
	Progress func(done, total int64)
}

// DefaultMaxFindings bounds the findings in a report unless the check says otherwise.
const DefaultMaxFindings = 100
