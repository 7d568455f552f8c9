// Package listing pages through an index. A page is found by the positions of its rows, whatever comes and
// goes meanwhile.
package listing

import (
	"bytes"
	"errors"
	"slices"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// MaxScan bounds the rows that one page, or one count, looks at.
const MaxScan = 10_000

// Listing is an index to page through. What follows the prefix in a key is the row's position.
type Listing[T any] struct {
	R      kv.Reader
	Prefix []byte
	// Low and high bound the positions: from low, before high. Nil means no bound.
	Low, High []byte
	// Match reads the row at a position and returns nil if the filter leaves it out.
	Match func(position []byte, value func() ([]byte, error)) (*T, error)
}

// scanned is rows in the direction in which it was read.
type scanned[T any] struct {
	Rows      []T
	positions [][]byte
	// Seen is the last position looked at, nil if there was none.
	Seen []byte
	// More: the scan ended because it was long enough, or because enough was looked at, not because there
	// was nothing left.
	More bool
}

// Read reads at most count matching rows from a bound on (nil: from the end of the listing in that
// direction).
func (l *Listing[T]) Read(from *ticketstore.Bound, reverse bool, count, scan int) (*scanned[T], error) {
	s := &scanned[T]{}
	scanned := 0
	start := l.start(from, reverse)
	err := l.R.Scan(l.Prefix, start, reverse, func(k []byte, value func() ([]byte, error)) (bool, error) {
		position := k[len(l.Prefix):]
		switch {
		case from != nil && !from.Inclusive && bytes.Equal(position, from.Position),
			reverse && l.beyondHigh(position):
			return true, nil // not there yet
		case !reverse && l.beyondHigh(position), reverse && bytes.Compare(position, l.Low) < 0:
			return false, nil
		case scanned == scan:
			s.More = true
			return false, nil
		}
		scanned++
		row, err := l.Match(position, value)
		// A page without a row that is damaged is better than no page.
		if err := l.R.StepOver(err); err != nil {
			return false, err
		}
		if row != nil {
			if len(s.Rows) == count {
				s.More = true
				return false, nil
			}
			s.Rows, s.positions = append(s.Rows, *row), append(s.positions, position)
		}
		s.Seen = position
		return true, nil
	})
	return s, err
}

func (l *Listing[T]) beyondHigh(position []byte) bool {
	return l.High != nil && bytes.Compare(position, l.High) >= 0
}

// start is the key to seek to.
func (l *Listing[T]) start(from *ticketstore.Bound, reverse bool) []byte {
	var position []byte
	if from != nil {
		position = from.Position
	}
	switch {
	case reverse && l.High != nil && (from == nil || l.beyondHigh(position)):
		position = l.High
	case !reverse && bytes.Compare(position, l.Low) < 0:
		position = l.Low
	}
	if position == nil {
		return nil
	}
	return layout.Key(l.Prefix, position)
}

// page is the rows that were scanned, put in the listing's order, and where they lie in it.
type page[T any] struct {
	Rows []T
	*rules.Place
}

// ReadPage answers a walk.
func ReadPage[T, F any](l *Listing[T], w *ticketstore.Walk[F]) (*page[T], error) {
	s, err := l.Read(w.From, w.Reverse(), w.Count, MaxScan)
	if err != nil {
		return nil, err
	}
	found := &rules.Scanned{Rows: len(s.Rows), Seen: s.Seen, More: s.More}
	if len(s.Rows) > 0 {
		found.First, found.Last = s.positions[0], s.positions[len(s.Rows)-1]
	}
	behind := false
	if w.From != nil {
		near := rules.NearBound(w, found)
		other, err := l.Read(&near, !w.Reverse(), 1, MaxScan)
		if err != nil {
			return nil, err
		}
		behind = len(other.Rows) > 0 || other.More
	}
	if w.Prior {
		slices.Reverse(s.Rows)
	}
	return &page[T]{s.Rows, rules.PlaceOf(w, found, behind)}, nil
}

// Count counts the rows of a listing, -1 if there are more than scan to look at.
func (l *Listing[T]) Count(scan int) (n int, err error) {
	scanned := 0
	start := l.start(nil, false)
	err = l.R.Scan(l.Prefix, start, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
		position := k[len(l.Prefix):]
		if l.beyondHigh(position) {
			return false, nil
		}
		if scanned++; scanned > scan {
			return false, errTooMany
		}
		row, err := l.Match(position, value)
		if row != nil && err == nil {
			n++
		}
		return true, l.R.StepOver(err)
	})
	if errors.Is(err, errTooMany) {
		return -1, nil
	}
	return n, err
}

var errTooMany = errors.New("too many rows to count")
