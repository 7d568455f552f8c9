package offline

// The command stats shows figures of a store.

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Figures are the figures common to the stores of all engines.
type Figures struct {
	// Format is the store's format, Newest the newest format known to this program.
	Format int `json:"format"`
	Newest int `json:"newest_format"`
	// State is the store's state in a move; Peer and Move are those of the latest move, Origin is the move
	// that filled the store.
	State  transfer.State `json:"state"`
	Peer   string         `json:"peer,omitempty"`
	Move   string         `json:"move,omitempty"`
	Origin string         `json:"origin,omitempty"`
	// Journaled is the number of unacknowledged journal entries.
	Journaled uint64 `json:"journaled"`
	// Records counts rows by kind, Deliveries notifications by state.
	Records    map[string]int64 `json:"records"`
	Deliveries map[string]int64 `json:"deliveries"`
	// JobsRunning is the number of unfinished endings.
	JobsRunning int `json:"jobs_running"`
}

// RowLines returns the lines about rows. jobs is appended to the line about unfinished jobs.
func (f *Figures) RowLines(jobs string) (lines [][2]string) {
	for _, kind := range transfer.Kinds {
		text := Grouped(f.Records[kind.String()])
		if kind == transfer.Notifications && len(f.Deliveries) > 0 {
			text += " (" + Named(f.Deliveries, Grouped) + ")"
		}
		if kind == transfer.Jobs && f.JobsRunning > 0 {
			text += fmt.Sprintf(" (%d under way%s)", f.JobsRunning, jobs)
		}
		lines = append(lines, [2]string{kind.String(), text})
	}
	if f.Journaled > 0 {
		lines = append(lines, [2]string{"journal", Grouped(int64(f.Journaled))})
	}
	return lines
}

// Named lists numbers, the largest first.
func Named(numbers map[string]int64, text func(int64) string) string {
	var parts []string
	for _, name := range Largest(numbers) {
		parts = append(parts, text(numbers[name])+" "+name)
	}
	return strings.Join(parts, ", ")
}

// Largest returns the names of numbers, largest first.
func Largest(numbers map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(numbers), func(a, b string) int {
		return cmp.Or(cmp.Compare(numbers[b], numbers[a]), strings.Compare(a, b))
	})
}

func stats(ctx context.Context, c *call) (code int, err error) {
	var figures Stats
	err = c.readOnly(ctx, func(s Store) (err error) {
		figures, err = s.Stats(ctx)
		return err
	})
	if err != nil {
		return Failed, err
	}
	if c.json {
		c.answer(figures)
		return Done, nil
	}
	for _, line := range figures.Lines() {
		fmt.Fprintf(c.Stdout, "%-13s %s\n", line[0], line[1])
	}
	return Done, nil
}
