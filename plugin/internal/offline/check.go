package offline

// The command check verifies every index against its records, and every record against the rules.

import (
	"context"
	"errors"
	"fmt"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// readOnly opens the store read-only.
func (c *call) readOnly(ctx context.Context, f func(s Store) error) error {
	s, err := c.place.ReadOnly(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

func check(ctx context.Context, c *call) (code int, err error) {
	p := c.progress("check")
	report := &Report{}
	report.Findings, err = c.place.Damage(ctx)
	if err == nil && len(report.Findings) == 0 {
		err = c.readOnly(ctx, func(s Store) (err error) {
			report, err = s.Check(ctx, CheckConfig{MaxFindings: c.max, Ages: true, Progress: p.report})
			return err
		})
	}
	p.end()
	if err != nil {
		return Failed, err
	}
	if report.State == transfer.Importing || report.State == transfer.Abandoned {
		report.Findings = append([]Finding{{
			Table: "store",
			Problem: fmt.Sprintf("is the incomplete target of a move from %s: it does not serve",
				report.Peer),
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
		fmt.Fprintf(c.Stdout,
			"%s damaged rows were set aside earlier: nothing refers to them any more\n",
			Grouped(report.SetAside))
	}
	verdict := "nothing wrong"
	switch {
	case report.More:
		verdict = fmt.Sprintf("%d findings and more", len(report.Findings))
	case len(report.Findings) > 0:
		verdict = fmt.Sprintf("%d findings", len(report.Findings))
	}
	fmt.Fprintf(c.Stdout, "%s: %s records and %s index entries in %s: %s\n",
		c.place, Grouped(report.Records), Grouped(report.Entries), p.took(), verdict)
	if report.State == transfer.Superseded || report.State == transfer.Fenced {
		fmt.Fprintf(c.Stdout, "It does not serve. %s: %s\n", c.place, StateText(report.State, report.Peer))
	}
	return code, nil
}

// StateText describes the state of a store in a move, or after one.
func StateText(state transfer.State, peer string) string {
	switch state {
	case transfer.Superseded:
		return fmt.Sprintf("superseded: %q has replaced it", peer)
	case transfer.Fenced:
		return fmt.Sprintf("fenced: the move to %q was interrupted, the next start of the server decides",
			peer)
	case transfer.Importing, transfer.Abandoned:
		return fmt.Sprintf("%s: the incomplete target of a move from %s", state, peer)
	}
	return string(state)
}
