// Package check holds a database against the rules that its rows and indexes keep, and says how much of what
// is in it. It repairs nothing.
package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/internal/offline"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// The outcome of a check, and what to check, are the same for every engine.
type (
	// Finding is something that is not as it should be.
	Finding = offline.Finding
	// Report is the outcome.
	Report = offline.Report
	// Config says what to check.
	Config = offline.CheckConfig
)

// Run checks a database (Engine.Check).
func Run(ctx context.Context, db *kv.DB, config Config) (*Report, error) {
	if config.MaxFindings <= 0 {
		config.MaxFindings = offline.DefaultMaxFindings
	}
	report := &Report{Findings: []Finding{}}
	err := db.Look(ctx, func(r *kv.Snapshot) error {
		c := newChecker(r, config, report)
		c.total, c.format = keysOf(db.Badger()), db.Format()
		if config.Files {
			if err := verifyFiles(db.Badger()); err != nil {
				c.finding(damagedFiles(err))
				return nil
			}
		}
		return c.run()
	})
	return report, err
}

func damagedFiles(err error) Finding {
	return Finding{
		Table: "files", Problem: fmt.Sprintf("are damaged, and nothing else was looked at: %v", err),
	}
}

// verifyFiles has Badger look at all of its tables. It panics about one that it cannot read.
func verifyFiles(db *badger.DB) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("a table cannot be read: %v", problem)
		}
	}()
	return db.VerifyChecksum()
}

// Files reads every table of a database that no process has open, without opening it, and returns a finding
// for each that is damaged.
func Files(ctx context.Context, path string, encryption []byte) (findings []Finding, err error) {
	if _, err := folder.MarkerAt(path); err != nil {
		return nil, err
	}
	unlock, err := disk.Share(path)
	if err != nil {
		return nil, folder.ExplainLocked(path, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	m, err := folder.ReadMarker(path)
	if err != nil {
		return nil, err
	}
	found, err := folder.Look(path, m, encryption)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(found.Tables)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := found.Tables[id].Verify()
		switch {
		case errors.Is(err, files.ErrTable):
			findings = append(findings, damagedFiles(fmt.Errorf("%s: %w", files.TableName(id), err)))
		case err != nil:
			return nil, err
		}
	}
	return findings, nil
}

// keysOf says about how many keys there are.
func keysOf(db *badger.DB) (n int64) {
	for _, t := range db.Tables() {
		n += int64(t.KeyCount)
	}
	return n
}

// checker walks through a database.
type checker struct {
	r      kv.Reader
	config Config
	report *Report
	// format is the database's. One of format 1 keeps no account of its contents.
	format int
	done   int64
	total  int64

	balance *balance
	// kept is what the database keeps account of, contents what there is.
	kept, contents map[transfer.Kind]transfer.Content
	// live counts the sessions of each client, and all under "".
	live map[string]int
	// latest is the latest moment at which anything was written.
	latest int64
	// again: the walk is the second one, which names what the first has found to be there.
	again bool
}

func newChecker(r kv.Reader, config Config, report *Report) *checker {
	return &checker{
		r: r, config: config, report: report, balance: newBalance(),
		contents: map[transfer.Kind]transfer.Content{}, live: map[string]int{},
	}
}

func (c *checker) run() error {
	// The state says which rules hold for the rows.
	if err := c.own(); err != nil || c.report.State == transfer.Abandoned {
		return err
	}
	if err := c.walk(); err != nil {
		return err
	}
	c.checkTotals()
	if err := c.strangers(); err != nil {
		return err
	}
	if c.balance.even() {
		return nil
	}
	c.again = true
	c.balance.suspect()
	if err := c.walk(); err != nil {
		return err
	}
	c.balance.each(func(k []byte, problem string) { c.badf(k, "%s", problem) })
	if c.balance.cut {
		c.report.More = true
	}
	return nil
}

// walk goes through all rows once.
func (c *checker) walk() error {
	for _, step := range []func() error{
		c.bySession, c.grants, c.operations, c.jobs, c.purges, c.notifications, c.properties, c.families,
		c.counts, c.indexes,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// finding adds to the report.
func (c *checker) finding(f Finding) {
	if len(c.report.Findings) >= c.config.MaxFindings {
		c.report.More = true
		return
	}
	c.report.Findings = append(c.report.Findings, f)
}

// badf reports a row by its key.
func (c *checker) badf(k []byte, format string, args ...any) {
	table, id := layout.PlaceOf(k)
	c.finding(Finding{Table: table, ID: id, Problem: fmt.Sprintf(format, args...)})
}

// rulef reports a row that breaks a rule, in the first walk alone.
func (c *checker) rulef(k []byte, broken bool, format string, args ...any) {
	if broken && !c.again {
		c.badf(k, format, args...)
	}
}

// togetherf reports a row that does not go with another. While a store is being filled they need not go
// together: they were copied at several moments.
func (c *checker) togetherf(k []byte, broken bool, format string, args ...any) {
	c.rulef(k, broken && c.report.State != transfer.Importing, format, args...)
}

// scan calls f for each row of a table.
func (c *checker) scan(prefix []byte, values bool, f func(k, v []byte) error) error {
	return c.r.Scan(prefix, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
		var v []byte
		if values {
			var err error
			if v, err = value(); err != nil {
				return false, err
			}
		}
		if err := f(k, v); err != nil {
			return false, err
		}
		c.seen()
		return true, nil
	})
}

// progressEvery is how many rows go by between two words on progress.
const progressEvery = 10_000

func (c *checker) seen() {
	if c.done++; c.config.Progress != nil && c.done%progressEvery == 0 {
		c.config.Progress(c.done, max(c.total, c.done))
	}
}

// record notes a record and reports whether it can be read into the message, nil where it needs none.
func (c *checker) record(k, v []byte, message proto.Message) bool {
	if !c.again {
		c.report.Records++
		// As kv.CountContents does: what can be read as a record that moves is counted, whatever it says.
		if r, err := layout.RecordOf(layout.TableOf(k), k, v); err == nil {
			content := c.contents[r.Kind]
			content.Add(r)
			c.contents[r.Kind] = content
		}
	}
	if message == nil {
		return true
	}
	err := layout.Decode(k, v, message)
	c.rulef(k, err != nil, "cannot be read: it is damaged")
	if err != nil {
		return false
	}
	t := layout.TableOf(k)
	for _, fault := range rules.Faults(t.Kind, string(k[len(t.Prefix):]), message) {
		c.rulef(k, true, "%s", fault)
	}
	return true
}

// entry notes what is there of an index.
func (c *checker) entry(k, v []byte) {
	if !c.again {
		c.report.Entries++
	}
	c.balance.has(k, v)
}

// at remembers a moment at which something was written.
func (c *checker) at(moment int64) { c.latest = max(c.latest, moment) }

// checkTotals compares what was counted with what the database keeps account of.
func (c *checker) checkTotals() {
	if c.kept != nil {
		for _, kind := range transfer.Kinds {
			kept, counted := c.kept[kind], c.contents[kind]
			switch {
			case kept.Count != counted.Count:
				c.badf(layout.ContentsKey, "say that there are %d of %s, and there are %d",
					kept.Count, kind, counted.Count)
			case kept.Sum != counted.Sum:
				c.badf(layout.ContentsKey, "have a sum of %s that their rows do not have", kind)
			}
		}
	}
	for client, n := range c.live {
		c.rulef(layout.CountKey(client), n != 0, "there are %d more than it says", n)
	}
}

// strangers finds keys of no table, from table to table.
func (c *checker) strangers() error {
	for from := []byte{0}; from != nil; {
		first, err := kv.FirstKey(c.r, nil, from)
		if err != nil || first == nil {
			return err
		}
		table := layout.TableOf(first)
		if table != nil {
			from = layout.Successor(table.Prefix)
			continue
		}
		c.badf(first, "is a key of no table")
		if from = append(first, 0); c.report.More {
			return nil
		}
	}
	return nil
}
