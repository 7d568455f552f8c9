// Package storetest is the conformance suite of backends: a backend is correct if Run passes. Its groups are
// named after the rules of ARCHITECTURE.md. The cases of one store also check the other stores, so no part of
// the suite suffices by itself.
//
// Backends may be slow: cases run in parallel, each on its own empty backend.
package storetest

import (
	"cmp"
	"slices"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/storetest/internal/endings"
	"github.com/fosite-sessions/sessions/plugin/storetest/internal/grants"
	"github.com/fosite-sessions/sessions/plugin/storetest/internal/kills"
	"github.com/fosite-sessions/sessions/plugin/storetest/internal/moves"
	"github.com/fosite-sessions/sessions/plugin/storetest/internal/tickets"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
)

// Stores are the stores of one backend, over the same data.
type Stores = world.Stores

// Fixture is a backend under test: its stores, and its transfer.Store.
type Fixture = moves.Fixture

// Config configures the suite for a backend.
type Config struct {
	// New returns an empty backend each time and cleans it up through t.Cleanup. It is called from parallel
	// tests. Required.
	New func(t *testing.T) Fixture
	// Immovable skips the cases of moves and backups, for a backend without a transfer.Store.
	Immovable bool
	// Uncached skips the cases of kills, for a backend without grantstore.Kills, which is never cached.
	Uncached bool
	// Target is a different kind of backend to move to: then only the cases of moves run. Nil moves to New's.
	Target func(t *testing.T) Fixture
	// Sections are the sections to run: Tickets, Grants, Logout, Kills and Transfer; none means all.
	Sections []string
	// Rows is the number of rows in the larger cases; 0 means 300. More rows take longer and find more.
	Rows int
	// WalkRows is the number of rows walked without a filter while rows are added and removed; 0 means Rows,
	// which is used by walks with a filter.
	WalkRows int
}

// Run checks a backend against the interfaces of the domain packages.
func Run(t *testing.T, config Config) {
	if config.Target != nil {
		moves.Run(t,
			moves.Config{New: config.New, Target: config.Target, MovesAlone: true, Rows: config.Rows})
		return
	}
	open := func(t *testing.T, w *world.World) { w.Stores = config.New(t).Stores }
	rows := cmp.Or(config.Rows, world.DefaultRows)
	section := func(name string, run func(t *testing.T)) {
		if len(config.Sections) == 0 || slices.Contains(config.Sections, name) {
			t.Run(name, func(t *testing.T) { t.Parallel(); run(t) })
		}
	}
	for name, groups := range map[string][]world.Group{
		"Tickets": tickets.Groups(cmp.Or(config.WalkRows, rows), rows),
		"Grants":  grants.Groups,
		"Logout":  endings.Groups,
	} {
		section(name, func(t *testing.T) { world.Run(t, rows, open, groups) })
	}
	if !config.Uncached {
		section("Kills", func(t *testing.T) { world.Run(t, rows, open, kills.Groups) })
	}
	if !config.Immovable {
		section("Transfer", func(t *testing.T) {
			moves.Run(t, moves.Config{New: config.New, Rows: config.Rows})
		})
	}
}
