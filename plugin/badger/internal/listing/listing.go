// Package listing pages through an index. Pages are found by the positions of their rows, so that concurrent
// insertions and deletions do not shift them.
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

// MaxScan bounds the rows examined for a page or a count.
const MaxScan = 10_000

// Listing is an index to page through. The rest of a key after the prefix is the row's position.
type Listing[T any] struct {
	R      kv.Reader
	Prefix []byte
	// Low (inclusive) and High (exclusive) bound the positions. Nil means no bound.
	Low, High []byte
	// Match reads the row at a position and returns nil if the filter excludes it.
	Match func(position []byte, value func() ([]byte, error)) (*T, error)
}

// scanned holds rows in scan direction.
type scanned[T any] struct {
	Rows      []T
	positions [][]byte
	// Seen is the last position examined, or nil.
	Seen []byte
	// More: the scan stopped because it had enough rows or reached its limit, not at the end of the listing.
	More bool
}

// Read reads at most count matching rows, starting at a bound (nil: at the first row in that direction).
func (l *Listing[T]) Read(from *ticketstore.Bound, reverse bool, count, scan int) (*scanned[T], error) {
	s := &scanned[T]{}
	scanned := 0
	start := l.start(from, reverse)
	err := l.R.Scan(l.Prefix, start, reverse, func(k []byte, value func() ([]byte, error)) (bool, error) {
		position := k[len(l.Prefix):]
		switch {
		case from != nil && !from.Inclusive && bytes.Equal(position, from.Position),
			reverse && l.beyondHigh(position):
			return true, nil // before the bound
		case !reverse && l.beyondHigh(position), reverse && bytes.Compare(position, l.Low) < 0:
			return false, nil
		case scanned == scan:
			s.More = true
			return false, nil
		}
		scanned++
		row, err := l.Match(position, value)
		// A page without a damaged row is better than no page.
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

// start returns the key to seek to.
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

// page holds the rows of a page in the listing's order, and its place in the listing.
type page[T any] struct {
	Rows []T
	*rules.Place
}

// ReadPage reads the page requested by a walk.
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

// Count returns the number of rows of a listing, or -1 if it would have to examine more than scan rows.
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
