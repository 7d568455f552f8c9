package byhand

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// still opens the store to look at it.
func (c *call) still(ctx context.Context, f func(e *badger.Engine) error) error {
	e, err := badger.OpenStill(ctx, c.settings, c.logger)
	if err != nil {
		return err
	}
	return errors.Join(f(e), e.Close())
}

func check(ctx context.Context, c *call) (code int, err error) {
	p := c.progress("check")
	report := &badger.Report{}
	// Badger panics about a table that it cannot read.
	report.Findings, err = badger.CheckFiles(ctx, c.settings)
	if err == nil && len(report.Findings) == 0 {
		err = c.still(ctx, func(e *badger.Engine) (err error) {
			report, err = e.Check(ctx, badger.CheckConfig{MaxFindings: c.max, Ages: true, Progress: p.report})
			return err
		})
	}
	p.end()
	if err != nil {
		return Failed, err
	}
	if report.State == transfer.Importing || report.State == transfer.Abandoned {
		report.Findings = append([]badger.Finding{{
			Table: "store", Problem: fmt.Sprintf("was being filled from %s and is not complete: it does not serve", report.Peer),
		}}, report.Findings...)
	}
	if len(report.Findings) > 0 {
		code = Findings
	}
	if c.json {
		c.answer(report)
		return code, nil
	}
	for _, f := range report.Findings {
		fmt.Fprintln(c.Stdout, f)
	}
	if report.SetAside > 0 {
		fmt.Fprintf(c.Stdout, "%s rows were damaged at some time and are kept aside: nothing leads to them any more\n", grouped(report.SetAside))
	}
	verdict := "nothing wrong"
	switch {
	case report.More:
		verdict = fmt.Sprintf("%d findings and more", len(report.Findings))
	case len(report.Findings) > 0:
		verdict = fmt.Sprintf("%d findings", len(report.Findings))
	}
	fmt.Fprintf(c.Stdout, "%s: %s records and %s index entries in %s: %s\n",
		c.settings.Path, grouped(report.Records), grouped(report.Entries), p.took(), verdict)
	if report.State == transfer.Superseded || report.State == transfer.Fenced {
		fmt.Fprintf(c.Stdout, "It does not serve. %s: %s\n", c.settings.Path, stateText(report.State, report.Peer))
	}
	return code, nil
}

func stats(ctx context.Context, c *call) (code int, err error) {
	var s *badger.Stats
	err = c.still(ctx, func(e *badger.Engine) (err error) {
		s, err = e.Stats(ctx)
		return err
	})
	if err != nil {
		return Failed, err
	}
	if c.json {
		c.answer(s)
		return Done, nil
	}
	for _, line := range linesOf(s) {
		fmt.Fprintf(c.Stdout, "%-12s %s\n", line[0], line[1])
	}
	return Done, nil
}

func linesOf(s *badger.Stats) [][2]string {
	format := fmt.Sprint(s.Format)
	if s.Format < s.Newest {
		format = fmt.Sprintf("%d, of which %d is the newest: migrate, or the next start of a server, brings it there", s.Format, s.Newest)
	}
	encrypted := "no"
	if s.Encrypted {
		encrypted = "yes"
	}
	lines := [][2]string{{"format", format}, {"encrypted", encrypted}, {"state", stateText(s.State, s.Peer)}}
	for _, kind := range transfer.Kinds {
		text := grouped(s.Records[kind.String()])
		if kind == transfer.Notices && len(s.Deliveries) > 0 {
			text += " (" + states(s.Deliveries) + ")"
		}
		if kind == transfer.Jobs && s.JobsRunning > 0 {
			text += fmt.Sprintf(" (%d under way, of which %d have stopped)", s.JobsRunning, s.JobsStopped)
		}
		lines = append(lines, [2]string{kind.String(), text})
	}
	if s.Journaled > 0 {
		lines = append(lines, [2]string{"journal", grouped(int64(s.Journaled))})
	}
	lines = append(lines, [2]string{"rows", rowsText(s.RowBytes)})
	return append(lines, [2]string{"size", fmt.Sprintf("tables %s, logs up to %s, other %s", size(s.Bytes.Tables), size(s.Bytes.Logs), size(s.Bytes.Other))})
}

// rowsText says what rows take, and those of which tables take most.
func rowsText(bytes map[string]int64) string {
	const named = 4
	var total int64
	for _, n := range bytes {
		total += n
	}
	most := slices.SortedFunc(maps.Keys(bytes), func(a, b string) int {
		return cmp.Or(cmp.Compare(bytes[b], bytes[a]), strings.Compare(a, b))
	})
	var parts []string
	for _, name := range most[:min(len(most), named)] {
		parts = append(parts, name+" "+size(bytes[name]))
	}
	return fmt.Sprintf("%s before compression, most of it: %s", size(total), strings.Join(parts, ", "))
}

// stateText says what a store is in a move, or after one.
func stateText(state transfer.State, peer string) string {
	switch state {
	case transfer.Superseded:
		return fmt.Sprintf("superseded: %q has taken its place", peer)
	case transfer.Fenced:
		return fmt.Sprintf("fenced: the move to %q was interrupted, the next start of the server decides", peer)
	case transfer.Importing, transfer.Abandoned:
		return fmt.Sprintf("%s: not complete, it was being filled from %s", state, peer)
	}
	return string(state)
}

func states(deliveries map[string]int64) string {
	parts := make([]string, 0, len(deliveries))
	for _, state := range slices.Sorted(maps.Keys(deliveries)) {
		parts = append(parts, grouped(deliveries[state])+" "+state)
	}
	return strings.Join(parts, ", ")
}
