package rules

// Rule 5: the bounds of a page in its listing, and its number.

import (
	"cmp"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Scanned is the result of scanning a listing for a walk, in scan direction: the number of matching rows and
// their positions First to Last.
type Scanned struct {
	Rows        int
	First, Last []byte
	// Seen is the last position examined, or nil.
	Seen []byte
	// More: the scan stopped because the page was full or the scan limit was reached, not at the end of the
	// listing.
	More bool
}

// NearBound returns the bound of a page at which its scan began. The engine looks for a row beyond it, in the
// opposite direction, for PlaceOf.
func NearBound[F any](w *ticketstore.Walk[F], s *Scanned) ticketstore.Bound {
	near, _ := bounds(w, s)
	return near
}

// bounds returns the bounds at which the scan of a page began and ended. Rows are found by position alone, so
// rows added or deleted meanwhile move no other row to a different page (rule 5).
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

// Place is the place of a page in its listing.
type Place struct {
	HasPrev, HasNext bool
	before, after    ticketstore.Bound
	// nothing: the page is empty and has no neighbours.
	nothing bool
}

// PlaceOf returns the place of a scanned page. behind is whether there is a row beyond its near bound.
func PlaceOf[F any](w *ticketstore.Walk[F], s *Scanned, behind bool) *Place {
	near, far := bounds(w, s)
	p := &Place{behind, s.More, near, far, w.From == nil && s.Seen == nil}
	if w.Prior {
		p = &Place{s.More, behind, far, near, p.nothing}
	}
	return p
}

// Token returns the results token of a page with that number (0 or less: unknown), or "" if there is nothing
// to continue to.
func Token[F any](w *ticketstore.Walk[F], p *Place, page int) (string, error) {
	if p.nothing {
		return "", nil
	}
	return w.Token(p.before, p.after, max(page, 0))
}

// Number numbers a page of sessions if its TotalCount is known, else with -1: at either end of the listing
// the number is certain, in between it continues that of the results token.
func Number(p *ticketstore.Page, w *ticketstore.Walk[ticketstore.SessionFilter]) {
	p.TotalPages, p.CurrentPage = -1, w.Page
	if p.TotalCount >= 0 {
		p.TotalPages = (p.TotalCount + w.Count - 1) / w.Count
		if !p.HasNext && len(p.Sessions) > 0 {
			p.CurrentPage = p.TotalPages
		}
		p.CurrentPage = min(p.CurrentPage, max(p.TotalPages, 1))
	}
	if !p.HasPrev {
		p.CurrentPage = 1
	}
	p.CurrentPage = cmp.Or(p.CurrentPage, -1)
}

// Shown reports whether a client's row (nil: none) is shown with its session: not once it is detached.
func Shown(use *records.ClientUse) bool { return use != nil && !use.GetDetached() }
