package offline

// The command stats shows what is in a store.

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Figures are those that the stores of all engines have.
type Figures struct {
	// Format is that of the store, Newest the newest that this program knows.
	Format int `json:"format"`
	Newest int `json:"newest_format"`
	// State is what the store is in a move; Peer and Move are those of the latest one, Origin the one that
	// filled it.
	State  transfer.State `json:"state"`
	Peer   string         `json:"peer,omitempty"`
	Move   string         `json:"move,omitempty"`
	Origin string         `json:"origin,omitempty"`
	// Journaled is how many entries of the journal are not acknowledged.
	Journaled uint64 `json:"journaled"`
	// Records counts rows by their kind, Deliveries notifications by their state.
	Records    map[string]int64 `json:"records"`
	Deliveries map[string]int64 `json:"deliveries"`
	// JobsRunning are endings under way.
	JobsRunning int `json:"jobs_running"`
}

// RowLines are the lines about rows. jobs says more of the jobs under way.
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

// Largest are the names of numbers, that of the largest first.
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
