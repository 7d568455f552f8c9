package main

// Confirmation of irreversible changes.

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// confirm asks for confirmation unless yes is set. Without a terminal the answer is no.
func (a *app) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !isTerminal(a.in) {
		return fmt.Errorf("%w: there is no terminal to ask at, give --yes", errNotConfirmed)
	}
	_, _ = fmt.Fprintf(a.err, "%s Type yes to go on: ", question)
	answer, err := bufio.NewReader(io.LimitReader(a.in, 1<<10)).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return errNotConfirmed
	}
	return nil
}

// careful holds the flags of a change that is counted before it is made.
type careful struct{ dryRun, yes bool }

func (c *careful) add(command *cobra.Command) {
	command.Flags().BoolVar(&c.dryRun, "dry-run", false, "count, and change nothing")
	command.Flags().BoolVar(&c.yes, "yes", false, "do not ask")
}

// counted counts what a change would do and reports whether to make it: after confirmation, and never in a
// dry run, which prints the counts.
func counted[Count any](
	a *app, c *careful, count func() (Count, error), question func(Count) string, print func(Count) error,
) (goOn bool, err error) {
	if c.yes && !c.dryRun {
		return true, nil
	}
	planned, err := count()
	switch {
	case err != nil:
		return false, err
	case c.dryRun:
		return false, print(planned)
	}
	err = a.confirm(c.yes, question(planned))
	return err == nil, err
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	opened, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(opened.Fd()))
}
