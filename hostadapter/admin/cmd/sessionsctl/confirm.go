package main

// What cannot be undone is asked for.

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// confirm asks whether to go on, unless yes says so. Without a terminal to ask at the answer is no.
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

// isTerminal reports whether a stream is one.
func isTerminal(stream any) bool {
	opened, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(opened.Fd()))
}
