package cli

// The figures of a store in readable form.

import (
	"fmt"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/internal/offline"
)

// figures is the output of stats.
type figures struct{ *badger.Stats }

// Lines implements offline.Stats.
func (s figures) Lines() [][2]string {
	format := fmt.Sprint(s.Format)
	if s.Format < s.Newest {
		format = fmt.Sprintf("%d, the newest is %d: migrate or the next start of a server upgrades it",
			s.Format, s.Newest)
	}
	encrypted := "no"
	if s.Encrypted {
		encrypted = "yes"
	}
	lines := [][2]string{
		{"format", format}, {"encrypted", encrypted}, {"state", offline.StateText(s.State, s.Peer)},
	}
	lines = append(lines, s.RowLines(fmt.Sprintf(", of which %d have stopped", s.JobsStopped))...)
	disk := fmt.Sprintf("tables %s, logs up to %s, other %s",
		offline.Size(s.Bytes.Tables), offline.Size(s.Bytes.Logs), offline.Size(s.Bytes.Other))
	return append(lines, [2]string{"rows", rowsText(s.RowBytes)}, [2]string{"size", disk})
}

// rowsText returns the size of all rows, and the largest tables.
func rowsText(bytes map[string]int64) string {
	const named = 4
	var total int64
	for _, n := range bytes {
		total += n
	}
	most := offline.Largest(bytes)
	var parts []string
	for _, name := range most[:min(len(most), named)] {
		parts = append(parts, name+" "+offline.Size(bytes[name]))
	}
	return fmt.Sprintf("%s before compression, most of it: %s", offline.Size(total),
		strings.Join(parts, ", "))
}
