package moves

// Runs the cases of moves on pairs of stores.

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Fixture is a backend under test: its stores, and its transfer.Store.
type Fixture struct {
	world.Stores
	Transfer transfer.Store
	// Shared: several hosts may have the store open, so that reads fail once it is fenced.
	Shared bool
	// Join opens the store like a second host, until leave is called. If it is nil, the cases of several
	// hosts are skipped.
	Join func() (other Fixture, leave func())
}

// Config says how to open backends.
type Config struct {
	// New returns an empty backend each time and cleans it up through t.Cleanup. It is called from parallel
	// tests. Required.
	New func(t *testing.T) Fixture
	// Target returns a different kind of backend to move to; nil means New.
	Target func(t *testing.T) Fixture
	// MovesAlone skips cases that do not depend on the target.
	MovesAlone bool
	// Rows is the number of rows in the larger cases; 0 means 300.
	Rows int
}

// Run checks moves of the backend.
func Run(t *testing.T, config Config) {
	if config.Target == nil {
		config.Target = config.New
	}
	groups := []world.Group{}
	for _, g := range []struct {
		name  string
		cases []moveCase
	}{
		{"move", moveCases}, {"backup", backupCases}, {"journal", journalCases}, {"fence", fenceCases},
		{"states", stateCases}, {"recover", recoverCases}, {"hosts", hostCases},
	} {
		if config.MovesAlone && g.name != "move" && g.name != "backup" {
			continue
		}
		group := world.Group{Rule: 12, Name: g.name}
		for _, c := range g.cases {
			group.Cases = append(group.Cases, world.Case{Name: c.name, Run: func(w *world.World) {
				source := config.New(w.T)
				m := &pair{World: w, source: source, target: config.Target(w.T), another: func() Fixture {
					return config.Target(w.T)
				}}
				if g.name == "hosts" && source.Join == nil {
					w.Skip("the backend has no second host")
				}
				m.use(source)
				c.run(m)
			}})
		}
		groups = append(groups, group)
	}
	world.Run(t, config.Rows, func(*testing.T, *world.World) {}, groups)
}

type moveCase struct {
	name string
	run  func(p *pair)
}

// pair is a source and a target; the world's calls use one of them.
type pair struct {
	*world.World
	source Fixture
	target Fixture
	// another opens a further target.
	another func() Fixture
}

const moveID = "move-1"

func (p *pair) use(b Fixture) {
	p.Stores = b.Stores
}

func (p *pair) move() *transfer.Move {
	return &transfer.Move{
		Source: p.source.Transfer, Target: p.target.Transfer, ID: moveID, SourceName: "old",
		TargetName: "new", SwitchTimeout: time.Minute,
	}
}

// moved moves all data; the world then uses the target.
func (p *pair) moved() {
	p.Helper()
	p.OK(p.move().Run(p.Ctx()), "move")
	p.is(p.source, transfer.Superseded)
	p.is(p.target, transfer.Active)
	p.alike()
	p.use(p.target)
}

func (p *pair) become(b Fixture, to transfer.State) {
	p.Helper()
	p.OK(p.tryBecome(b, to), "become "+string(to))
}

func (p *pair) tryBecome(b Fixture, to transfer.State) error {
	peer := "old"
	if b.Transfer == p.source.Transfer {
		peer = "new"
	}
	return b.Transfer.Become(p.Ctx(), transfer.Transition{To: to, ID: moveID, Peer: peer})
}

func (p *pair) status(b Fixture) *transfer.Status {
	p.Helper()
	status, err := b.Transfer.Status(p.Ctx())
	p.OK(err, "Status")
	return status
}

func (p *pair) is(b Fixture, want transfer.State) {
	p.Helper()
	if got := p.status(b).State; got != want {
		p.Fatalf("the store is %s, want %s", got, want)
	}
}

// alike compares the status of both stores, and each status with the store's rows.
func (p *pair) alike() {
	p.Helper()
	p.Same(p.status(p.target).Content, p.status(p.source).Content, "content of the target")
	for _, b := range []Fixture{p.source, p.target} {
		p.Same(counted(p, b), p.status(b).Content, "stored sums, compared to the rows")
	}
}

// export returns all rows.
func (p *pair) export(b Fixture, after []byte) (records []transfer.Record) {
	p.Helper()
	for batch, err := range b.Transfer.Export(p.Ctx(), after) {
		p.OK(err, "Export")
		records = append(records, batch.Records...)
	}
	return records
}

// content is computed from rows.
type content map[transfer.Kind]transfer.Content

func (c content) add(r *transfer.Record) {
	sum := c[r.Kind]
	sum.Add(r)
	c[r.Kind] = sum
}

func contentOf(records []transfer.Record) content {
	c := content{}
	for i := range records {
		c.add(&records[i])
	}
	return c
}

func counted(p *pair, b Fixture) map[transfer.Kind]transfer.Content {
	return contentOf(p.export(b, nil))
}

func (p *pair) importAll(records []transfer.Record) error {
	return p.target.Transfer.Import(p.Ctx(), moveID, func(yield func([]transfer.Record, error) bool) {
		yield(records, nil)
	})
}

// open returns the store with that name.
func (p *pair) open(_ context.Context, name string) (transfer.Store, error) {
	if name != "new" {
		return nil, errors.New("asked for " + name)
	}
	return p.target.Transfer, nil
}

// fenced ends the case unless the error is ErrFenced.
func (p *pair) fenced(err error, doing string) {
	p.Helper()
	p.Fails(err, doing, transfer.ErrFenced, ticketstore.ErrUnavailable)
}
