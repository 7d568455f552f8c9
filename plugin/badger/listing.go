package badger

import (
	"bytes"
	"errors"
	"slices"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// maxScan bounds the rows that one page, or one count, looks at.
const maxScan = 10_000

// listing is an index to page through. What follows the prefix in a key is the row's position.
type listing[T any] struct {
	r      reader
	prefix []byte
	// low and high bound the positions: from low, before high. Nil means no bound.
	low, high []byte
	// match reads the row at a position and returns nil if the filter leaves it out.
	match func(position []byte, value func() ([]byte, error)) (*T, error)
}

// stretch is a run of rows in the direction in which it was read.
type stretch[T any] struct {
	rows      []T
	positions [][]byte
	// seen is the last position looked at, nil if there was none.
	seen []byte
	// more: the stretch ended because it was long enough, or because enough was looked at, not because there was nothing left.
	more bool
}

// read reads at most count matching rows from a bound on (nil: from the end of the listing in that direction).
func (l *listing[T]) read(from *ticketstore.Bound, reverse bool, count, scan int) (*stretch[T], error) {
	s := &stretch[T]{}
	scanned := 0
	start := l.start(from, reverse)
	err := l.r.scan(l.prefix, start, reverse, func(k []byte, value func() ([]byte, error)) (bool, error) {
		position := k[len(l.prefix):]
		switch {
		case from != nil && !from.Inclusive && bytes.Equal(position, from.Position), reverse && l.beyondHigh(position):
			return true, nil // not there yet
		case !reverse && l.beyondHigh(position), reverse && bytes.Compare(position, l.low) < 0:
			return false, nil
		case scanned == scan:
			s.more = true
			return false, nil
		}
		scanned++
		row, err := l.match(position, value)
		// A page without a row that is damaged is better than no page.
		if err := l.r.stepOver(err); err != nil {
			return false, err
		}
		if row != nil {
			if len(s.rows) == count {
				s.more = true
				return false, nil
			}
			s.rows, s.positions = append(s.rows, *row), append(s.positions, position)
		}
		s.seen = position
		return true, nil
	})
	return s, err
}

func (l *listing[T]) beyondHigh(position []byte) bool {
	return l.high != nil && bytes.Compare(position, l.high) >= 0
}

// start is the key to seek to.
func (l *listing[T]) start(from *ticketstore.Bound, reverse bool) []byte {
	var position []byte
	if from != nil {
		position = from.Position
	}
	switch {
	case reverse && l.high != nil && (from == nil || l.beyondHigh(position)):
		position = l.high
	case !reverse && bytes.Compare(position, l.low) < 0:
		position = l.low
	}
	if position == nil {
		return nil
	}
	return key(l.prefix, position)
}

// page is a stretch put in the listing's order, with its neighbourhood.
type page[T any] struct {
	rows             []T
	before, after    ticketstore.Bound
	hasPrev, hasNext bool
	// nothing: there is no row and no way on or back.
	nothing bool
}

// readPage answers a walk. A row is found by its position alone, so rows that come and go meanwhile move no other row to another page.
func readPage[T, F any](l *listing[T], w *ticketstore.Walk[F]) (*page[T], error) {
	s, err := l.read(w.From, w.Reverse(), w.Count, maxScan)
	if err != nil {
		return nil, err
	}
	p := &page[T]{rows: s.rows, nothing: w.From == nil && s.seen == nil}
	// near is where the page begins in the direction of reading, far where it ends.
	var near, far ticketstore.Bound
	switch {
	case len(s.rows) > 0:
		near = ticketstore.Bound{Position: s.positions[0]}
		far = ticketstore.Bound{Position: s.positions[len(s.rows)-1]}
		if len(s.rows) < w.Count && s.more {
			far = ticketstore.Bound{Position: s.seen}
		}
	case w.From != nil:
		near = ticketstore.Bound{Position: w.From.Position, Inclusive: !w.From.Inclusive}
		far = *w.From
		if s.more {
			far = ticketstore.Bound{Position: s.seen}
		}
	case s.seen != nil:
		near, far = ticketstore.Bound{Position: s.seen, Inclusive: true}, ticketstore.Bound{Position: s.seen}
	}
	behind := false
	if w.From != nil {
		other, err := l.read(&near, !w.Reverse(), 1, maxScan)
		if err != nil {
			return nil, err
		}
		behind = len(other.rows) > 0 || other.more
	}
	if w.Prior {
		slices.Reverse(p.rows)
		p.before, p.after, p.hasPrev, p.hasNext = far, near, s.more, behind
	} else {
		p.before, p.after, p.hasPrev, p.hasNext = near, far, behind, s.more
	}
	return p, nil
}

// count counts the rows of a listing, -1 if there are more than scan to look at.
func (l *listing[T]) count(scan int) (n int, err error) {
	scanned := 0
	start := l.start(nil, false)
	err = l.r.scan(l.prefix, start, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
		position := k[len(l.prefix):]
		if l.beyondHigh(position) {
			return false, nil
		}
		if scanned++; scanned > scan {
			return false, errTooMany
		}
		row, err := l.match(position, value)
		if row != nil && err == nil {
			n++
		}
		return true, l.r.stepOver(err)
	})
	if errors.Is(err, errTooMany) {
		return -1, nil
	}
	return n, err
}

var errTooMany = errors.New("too many rows to count")
