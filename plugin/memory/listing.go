package memory

import (
	"slices"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// entry is a row of a listing and its place, which no other row ever has.
type entry[T any] struct {
	position string
	row      T
}

// paged is a page and its neighbourhood.
type paged[T any] struct {
	rows             []T
	before, after    ticketstore.Bound
	hasPrev, hasNext bool
	// nothing: there is no row and no way on or back.
	nothing bool
}

// pageOf cuts the page that a walk asks for out of all rows, which are in ascending order. A row is found by its position alone, so rows that
// come and go meanwhile move no other row to another page.
func pageOf[T, F any](rows []entry[T], w *ticketstore.Walk[F]) *paged[T] {
	reverse := w.Reverse()
	ahead := beyond(rows, w.From, reverse)
	found := ahead[:min(len(ahead), w.Count)]
	more := len(ahead) > len(found)
	p := &paged[T]{nothing: w.From == nil && len(found) == 0}
	// near is where the page begins in the direction of reading, far where it ends.
	var near, far ticketstore.Bound
	switch {
	case len(found) > 0:
		near = ticketstore.Bound{Position: []byte(found[0].position)}
		far = ticketstore.Bound{Position: []byte(found[len(found)-1].position)}
	case w.From != nil:
		near, far = ticketstore.Bound{Position: w.From.Position, Inclusive: !w.From.Inclusive}, *w.From
	}
	behind := w.From != nil && len(beyond(rows, &near, !reverse)) > 0
	for _, e := range found {
		p.rows = append(p.rows, e.row)
	}
	if w.Prior {
		slices.Reverse(p.rows)
		p.before, p.after, p.hasPrev, p.hasNext = far, near, more, behind
	} else {
		p.before, p.after, p.hasPrev, p.hasNext = near, far, behind, more
	}
	return p
}

// beyond returns the rows behind a bound in a direction, the nearest first.
func beyond[T any](rows []entry[T], from *ticketstore.Bound, reverse bool) []entry[T] {
	ordered := slices.Clone(rows)
	if reverse {
		slices.Reverse(ordered)
	}
	if from == nil {
		return ordered
	}
	at := string(from.Position)
	return slices.DeleteFunc(ordered, func(e entry[T]) bool {
		switch {
		case e.position == at:
			return !from.Inclusive
		case reverse:
			return e.position > at
		}
		return e.position < at
	})
}

// tokenOf returns the results token of a page, none where there is nothing to go on to.
func tokenOf[T, F any](p *paged[T], w *ticketstore.Walk[F], page int) (string, error) {
	if p.nothing {
		return "", nil
	}
	return w.Token(p.before, p.after, max(page, 0))
}
