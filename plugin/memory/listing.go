package memory

import (
	"slices"

	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// read reads at most count rows of an index that match, from a bound on.
func (t *tx) read(
	index string, from *ticketstore.Bound, reverse bool, count int, match func(r *row) bool,
) (rows []*row, s *rules.Stretch) {
	s = &rules.Stretch{}
	t.scan(index, from, reverse, func(position string, r *row) bool {
		switch {
		case !match(r):
			return true
		case s.Rows == count:
			s.More = true
			return false
		case s.Rows == 0:
			s.First = []byte(position)
		}
		rows, s.Rows, s.Last, s.Seen = append(rows, r), s.Rows+1, []byte(position), []byte(position)
		return true
	})
	return rows, s
}

// page reads the page that a walk along an index asks for, and where it lies.
func page[F any](t *tx, index string, w *ticketstore.Walk[F], match func(r *row) bool) ([]*row, *rules.Place) {
	rows, s := t.read(index, w.From, w.Reverse(), w.Count, match)
	behind := false
	if w.From != nil {
		near := rules.Near(w, s)
		_, beyond := t.read(index, &near, !w.Reverse(), 1, match)
		behind = beyond.Rows > 0
	}
	if w.Prior {
		slices.Reverse(rows)
	}
	return rows, rules.PlaceOf(w, s, behind)
}
