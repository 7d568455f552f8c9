package rules

// Rule 5: where a page lies in its listing, and its number.

import (
	"cmp"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Scanned is what was read of a listing for a walk, in the direction of reading: so many rows that match,
// from position First to Last.
type Scanned struct {
	Rows        int
	First, Last []byte
	// Seen is the last position that was looked at, nil if there was none.
	Seen []byte
	// More: it ended because it was long enough, or because enough was looked at, not because there was
	// nothing left.
	More bool
}

// NearBound is where the page of a scan begins in the direction of reading. Whether there is a row beyond it,
// in the other direction, is what an engine finds out for PlaceOf.
func NearBound[F any](w *ticketstore.Walk[F], s *Scanned) ticketstore.Bound {
	near, _ := bounds(w, s)
	return near
}

// bounds returns where the page of a scan begins in the direction of reading, and where it ends. A row is
// found by its position alone, so rows that come and go meanwhile move no other row to another page (rule 5).
func bounds[F any](w *ticketstore.Walk[F], s *Scanned) (near, far ticketstore.Bound) {
	switch {
	case s.Rows > 0:
		near, far = ticketstore.Bound{Position: s.First}, ticketstore.Bound{Position: s.Last}
		if s.Rows < w.Count && s.More {
			far.Position = s.Seen
		}
	case w.From != nil:
		near, far = ticketstore.Bound{Position: w.From.Position, Inclusive: !w.From.Inclusive}, *w.From
		if s.More {
			far = ticketstore.Bound{Position: s.Seen}
		}
	case s.Seen != nil:
		near, far = ticketstore.Bound{Position: s.Seen, Inclusive: true}, ticketstore.Bound{Position: s.Seen}
	}
	return near, far
}

// Place is where a page lies in its listing.
type Place struct {
	HasPrev, HasNext bool
	before, after    ticketstore.Bound
	// nothing: there is no row and no way on or back.
	nothing bool
}

// PlaceOf returns where the page of a scan lies. behind says whether there is a row beyond its near bound.
func PlaceOf[F any](w *ticketstore.Walk[F], s *Scanned, behind bool) *Place {
	near, far := bounds(w, s)
	p := &Place{behind, s.More, near, far, w.From == nil && s.Seen == nil}
	if w.Prior {
		p = &Place{s.More, behind, far, near, p.nothing}
	}
	return p
}

// Token returns the results token of a page of that number (0 or less: it is not known), none where there is
// nothing to go on to.
func Token[F any](w *ticketstore.Walk[F], p *Place, page int) (string, error) {
	if p.nothing {
		return "", nil
	}
	return w.Token(p.before, p.after, max(page, 0))
}

// Number numbers a page of sessions whose TotalCount is known, -1 where it is not: the ends of the listing
// are certain, in between the count of the results token goes on.
func Number(p *ticketstore.Page, w *ticketstore.Walk[ticketstore.SessionFilter]) {
	p.TotalPages, p.CurrentPage = -1, w.Page
	if p.TotalCount >= 0 {
		p.TotalPages = (p.TotalCount + w.Count - 1) / w.Count
		if !p.HasNext && p.HasPrev && len(p.Sessions) > 0 {
			p.CurrentPage = p.TotalPages
		}
		p.CurrentPage = min(p.CurrentPage, max(p.TotalPages, 1))
	}
	if !p.HasPrev {
		p.CurrentPage = 1
	}
	p.CurrentPage = cmp.Or(p.CurrentPage, -1)
}

// Shown reports whether a client's row (nil: it has none) is shown with its session: not once it was
// detached.
func Shown(use *records.ClientUse) bool { return use != nil && !use.GetDetached() }
