package badger

import (
	"context"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"github.com/fosite-sessions/sessions/plugin/records"

	"github.com/fosite-sessions/sessions/grantstore"
)

func (s grants) Query(ctx context.Context, query grantstore.Query, now time.Time) (result *grantstore.Page, err error) {
	walk, err := query.Walk()
	if err != nil {
		return nil, err
	}
	err = s.e.view(ctx, func(r reader) error {
		p, err := readPage(grantListing(r, &walk.Filter, now), walk)
		if err != nil {
			return err
		}
		result = &grantstore.Page{Grants: p.rows, HasPrev: p.hasPrev, HasNext: p.hasNext}
		if p.nothing {
			return nil
		}
		result.ResultsToken, err = walk.Token(p.before, p.after, 0)
		return err
	})
	return result, err
}

func grantListing(r reader, f *grantstore.Filter, now time.Time) *listing[grantstore.Grant] {
	l := &listing[grantstore.Grant]{r: r, prefix: indexGrantAll}
	switch {
	case f.SessionID != "":
		l.prefix = key(indexGrantSession, more(f.SessionID))
	case f.SubjectID != "":
		l.prefix = key(indexGrantSubject, more(f.SubjectID))
	case f.ClientID != "":
		l.prefix = key(indexGrantClient, more(f.ClientID))
	}
	l.match = func(_ []byte, value func() ([]byte, error)) (*grantstore.Grant, error) {
		stored, err := followGrant(r, value)
		if err != nil || stored == nil {
			return nil, err
		}
		g := records.GrantOf(stored.ref, stored.grant)
		g.Data = nil
		if !grantMatches(f, g) {
			return nil, nil //nolint:nilnil // no row is what is meant
		}
		switch verdict := judge(r, g.Type, stored.grant, now); {
		case verdict == nil:
			return g, nil
		case rules.Dead(verdict):
			return nil, nil //nolint:nilnil // dead
		default:
			return nil, verdict // nobody knows
		}
	}
	return l
}

func grantMatches(f *grantstore.Filter, g *grantstore.Grant) bool {
	return (f.SubjectID == "" || g.SubjectID == f.SubjectID) && (f.SessionID == "" || g.SessionID == f.SessionID) &&
		(f.ClientID == "" || g.ClientID == f.ClientID) && (f.Type == "" || g.Type == f.Type)
}
