package badger

// Pages of sessions.

import (
	"context"
	"math"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/listing"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (s tickets) Query(ctx context.Context, query ticketstore.SessionQuery) (*ticketstore.Page, error) {
	walk, invalid := query.Walk()
	return read(ctx, s.e, invalid, func(r *kv.Snapshot) (*ticketstore.Page, error) {
		l, err := sessionListing(r, &walk.Filter)
		if err != nil {
			return nil, err
		}
		p, err := listing.ReadPage(l, walk)
		if err != nil {
			return nil, err
		}
		result := &ticketstore.Page{HasPrev: p.HasPrev, HasNext: p.HasNext}
		for _, record := range p.Rows {
			detail, err := detailOf(r, record)
			if err != nil {
				return nil, err
			}
			result.Sessions = append(result.Sessions, *detail)
		}
		if result.TotalCount, err = countSessions(r, &walk.Filter, l); err != nil {
			return nil, err
		}
		rules.Number(result, walk)
		result.ResultsToken, err = rules.Token(walk, p.Place, result.CurrentPage)
		return result, err
	})
}

// sessionListing selects the index with the fewest rows, and a match function for the remaining conditions.
func sessionListing(r kv.Reader, f *ticketstore.SessionFilter) (*listing.Listing[*records.Session], error) {
	l := &listing.Listing[*records.Session]{R: r}
	if !f.CreatedFrom.IsZero() {
		l.Low = layout.TimeKey(records.Nanos(f.CreatedFrom))
	}
	if !f.CreatedBefore.IsZero() {
		l.High = layout.TimeKey(records.Nanos(f.CreatedBefore))
	}
	matches := f.Matcher()
	// The index of a client has no entries of sessions from which the client was detached.
	byClient := f.ClientID != "" && f.SessionID == "" && f.SubjectID == ""
	check := func(v []byte) (**records.Session, error) {
		record := &records.Session{}
		if err := layout.Decode(layout.IndexListing, v, record); err != nil ||
			!matches(records.SummaryOf(record)) {
			return nil, err
		}
		if f.ClientID != "" && !byClient {
			use, err := loadClientUse(r, record.GetSessionId(), f.ClientID)
			if err != nil || !rules.Shown(use) {
				return nil, err
			}
		}
		return &record, nil
	}
	// The positions of all indexes are keys of the listing, whose rows are stored together and lack the
	// ticket.
	follow := func(position []byte, _ func() ([]byte, error)) (**records.Session, error) {
		v, err := r.Get(layout.Key(layout.IndexListing, position))
		if err != nil || v == nil {
			return nil, err
		}
		return check(v)
	}
	switch {
	case f.SessionID != "":
		l.Prefix, l.Match = layout.Key(layout.IndexListing), follow
		return l, confine(l, r, f.SessionID)
	case f.SubjectID != "":
		l.Prefix, l.Match = layout.Key(layout.IndexSubject, layout.More(f.SubjectID)), follow
	case byClient:
		l.Prefix, l.Match = layout.Key(layout.IndexClient, layout.More(f.ClientID)), follow
	default:
		l.Prefix = layout.IndexListing
		l.Match = func(_ []byte, value func() ([]byte, error)) (**records.Session, error) {
			v, err := value()
			if err != nil {
				return nil, err
			}
			return check(v)
		}
	}
	return l, nil
}

// confine bounds the listing to the row of one session, or to nothing if there is no such session.
func confine(l *listing.Listing[*records.Session], r kv.Reader, sid string) error {
	position := []byte{}
	record, err := loadSession(r, sid)
	if err != nil {
		return err
	}
	if record != nil {
		position = layout.SessionPosition(nil, nil, record)
	}
	if l.Low == nil || string(l.Low) < string(position) {
		l.Low = position
	}
	if end := append(position[:len(position):len(position)], 0); l.High == nil ||
		string(end) < string(l.High) {
		l.High = end
	}
	return nil
}

// countSessions is exact without a filter and with exact filters, even if it must count a subject's sessions;
// otherwise it gives up at a bound.
func countSessions(
	r kv.Reader, f *ticketstore.SessionFilter, l *listing.Listing[*records.Session],
) (int, error) {
	exact := ticketstore.SessionFilter{SubjectID: f.SubjectID, SessionID: f.SessionID, ClientID: f.ClientID}
	switch {
	case *f != exact:
		return l.Count(listing.MaxScan)
	case f.SessionID == "" && f.SubjectID == "":
		return counted(r, f.ClientID)
	case f.SessionID == "" && f.ClientID == "":
		keys := *l
		keys.Match = func([]byte, func() ([]byte, error)) (**records.Session,
			error) {
			return new(*records.Session), nil
		}
		return keys.Count(math.MaxInt)
	}
	return l.Count(math.MaxInt)
}
