package main

// Tables for people, JSON for programs.

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// clean makes untrusted text safe for a terminal: it removes line breaks, cursor control and characters that
// change the text direction.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// or returns the text, or a dash if it is empty.
func or(text string) string {
	if text == "" {
		return "-"
	}
	return clean(text)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

func number(n *int) string {
	if n == nil {
		return "-"
	}
	return strconv.Itoa(*n)
}

// rowsAtOnce is how many rows of a table are aligned and printed together.
const rowsAtOnce = 100

// printList prints rows, at most limit unless it is 0, as a table or a JSON array.
func printList[Row any](
	a *app, rows iter.Seq2[Row, error], limit int, heads []string, cells func(Row) []string,
) error {
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	asJSON := a.settings.output == outputJSON
	printed, more := 0, false
	for row, err := range rows {
		if err != nil {
			return err
		}
		if limit > 0 && printed == limit {
			more = true
			break
		}
		switch {
		case asJSON:
			before := ",\n"
			if printed == 0 {
				before = "[\n"
			}
			raw, err := json.Marshal(row)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(a.out, "%s%s", before, raw); err != nil {
				return err
			}
		default:
			if printed == 0 {
				_, _ = fmt.Fprintln(table, strings.Join(heads, "\t"))
			}
			_, _ = fmt.Fprintln(table, strings.Join(cells(row), "\t"))
			if (printed+1)%rowsAtOnce == 0 {
				if err := table.Flush(); err != nil {
					return err
				}
			}
		}
		printed++
	}
	switch {
	case asJSON && printed == 0:
		_, err := io.WriteString(a.out, "[]\n")
		return err
	case asJSON:
		if _, err := io.WriteString(a.out, "\n]\n"); err != nil {
			return err
		}
	default:
		if err := table.Flush(); err != nil {
			return err
		}
	}
	switch {
	case more:
		a.say("There are more: --limit %d is reached, --limit 0 shows all.", limit)
	case printed == 0:
		a.say("Nothing matches.")
	}
	return nil
}

// pair is a name and value of a record.
type pair struct{ name, value string }

// print prints one record as pairs or as JSON.
func (a *app) print(thing any, pairs ...pair) error {
	if a.settings.output == outputJSON {
		encoder := json.NewEncoder(a.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(thing)
	}
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, p := range pairs {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", p.name, p.value)
	}
	return table.Flush()
}

// plural formats a count with its noun.
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

// outcome is what a change did or would do.
type outcome struct {
	dryRun bool
	pairs  []pair
}

// add adds a count with the words for done and for a dry run.
func (o *outcome) add(things, done, wouldDo string, count int) {
	name := things + " " + done
	if o.dryRun {
		name = things + " to " + wouldDo
	}
	o.pairs = append(o.pairs, pair{name, strconv.Itoa(count)})
}

// printOutcome prints the outcome of a change. The JSON of a dry run has the same fields.
func (a *app) printOutcome(thing any, o *outcome) error {
	if o.dryRun {
		a.say("Dry run: nothing was changed.")
	}
	return a.print(thing, o.pairs...)
}

// say prints a message for people to stderr.
func (a *app) say(format string, args ...any) { _, _ = fmt.Fprintf(a.err, format+"\n", args...) }
