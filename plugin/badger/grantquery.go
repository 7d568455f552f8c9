package badger

// Pages of grants.

import (
	"context"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/listing"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

func (s grants) Query(ctx context.Context, query grantstore.Query, now time.Time) (*grantstore.Page, error) {
	walk, invalid := query.Walk()
	return read(ctx, s.e, invalid, func(r *kv.Snapshot) (*grantstore.Page, error) {
		p, err := listing.ReadPage(grantListing(r, &walk.Filter, now), walk)
		if err != nil {
			return nil, err
		}
		result := &grantstore.Page{Grants: p.Rows, HasPrev: p.HasPrev, HasNext: p.HasNext}
		result.ResultsToken, err = rules.Token(walk, p.Place, 0)
		return result, err
	})
}

func grantListing(r kv.Reader, f *grantstore.Filter, now time.Time) *listing.Listing[grantstore.Grant] {
	listed := grantrows.NewListing(r)
	l := &listing.Listing[grantstore.Grant]{R: listed, Prefix: layout.IndexGrantAll}
	switch {
	case f.SessionID != "":
		l.Prefix = layout.Key(layout.IndexGrantSession, layout.More(f.SessionID))
	case f.SubjectID != "":
		l.Prefix = layout.Key(layout.IndexGrantSubject, layout.More(f.SubjectID))
	case f.ClientID != "":
		l.Prefix = layout.Key(layout.IndexGrantClient, layout.More(f.ClientID))
	}
	l.Match = func(_ []byte, value func() ([]byte, error)) (*grantstore.Grant, error) {
		stored, err := followGrant(listed, value)
		if err != nil || stored == nil {
			return nil, err
		}
		if !rules.Selected(f, stored.ref.Type, stored.grant) {
			return nil, nil //nolint:nilnil // nil means no row
		}
		g := records.GrantOf(stored.ref, stored.grant)
		g.Data = nil
		switch verdict := judge(r, g.Type, stored.grant, now); {
		case verdict == nil:
			return &g, nil
		case rules.Dead(verdict):
			return nil, nil //nolint:nilnil // dead
		default:
			return nil, verdict // unknown
		}
	}
	return l
}
