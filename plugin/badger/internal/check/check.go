// Package check verifies the rows and indexes of a database and measures its contents. It repairs nothing.
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

// The configuration and report of a check, shared by all engines.
type (
	// Finding is a fault.
	Finding = offline.Finding
	// Report is the result.
	Report = offline.Report
	// Config configures a check.
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

// verifyFiles makes Badger verify all its tables. Badger panics on a table that it cannot read.
func verifyFiles(db *badger.DB) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("a table cannot be read: %v", problem)
		}
	}()
	return db.VerifyChecksum()
}

// Files reads every table of a database that no process has open, without opening the database, and returns a
// finding for each damaged table.
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

// keysOf returns the approximate number of keys.
func keysOf(db *badger.DB) (n int64) {
	for _, t := range db.Tables() {
		n += int64(t.KeyCount)
	}
	return n
}

// checker checks a database.
type checker struct {
	r      kv.Reader
	config Config
	report *Report
	// format is the format of the database. Format 1 has no contents.
	format int
	done   int64
	total  int64

	balance *balance
	// kept are the contents stored in the database, contents those counted.
	kept, contents map[transfer.Kind]transfer.Content
	// live counts the sessions of each client, and all sessions under "".
	live map[string]int
	// latest is the time of the latest write.
	latest int64
	// again: this is the second walk, which names the differences found by the first.
	again bool
}

func newChecker(r kv.Reader, config Config, report *Report) *checker {
	return &checker{
		r: r, config: config, report: report, balance: newBalance(),
		contents: map[transfer.Kind]transfer.Content{}, live: map[string]int{},
	}
}

func (c *checker) run() error {
	// The state determines which rules apply to the rows.
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

// walk visits all rows once.
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

// finding adds a finding to the report.
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

// rulef reports a row that breaks a rule, in the first walk only.
func (c *checker) rulef(k []byte, broken bool, format string, args ...any) {
	if broken && !c.again {
		c.badf(k, format, args...)
	}
}

// togetherf reports a row that is inconsistent with another row. While a store is being filled,
// inconsistencies are allowed, because rows were copied at different times.
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

// progressEvery is the number of rows between two progress reports.
const progressEvery = 10_000

func (c *checker) seen() {
	if c.done++; c.config.Progress != nil && c.done%progressEvery == 0 {
		c.config.Progress(c.done, max(c.total, c.done))
	}
}

// record counts a record and reports whether it can be decoded into message, nil if it needs none.
func (c *checker) record(k, v []byte, message proto.Message) bool {
	if !c.again {
		c.report.Records++
		// Like kv.CountContents, it counts whatever can be read as a record that moves.
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

// entry adds an actual index entry.
func (c *checker) entry(k, v []byte) {
	if !c.again {
		c.report.Entries++
	}
	c.balance.has(k, v)
}

// at records the time of a write.
func (c *checker) at(moment int64) { c.latest = max(c.latest, moment) }

// checkTotals compares the counted contents with the stored ones.
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

// strangers finds keys that belong to no table, by seeking from table to table.
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
