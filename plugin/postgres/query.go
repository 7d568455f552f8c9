package postgres

// Pages of sessions and of grants, and their totals.

import (
	"context"
	"math"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (s tickets) Query(
	ctx context.Context, query ticketstore.SessionQuery,
) (*ticketstore.Page, error) {
	walk, invalid := query.Walk()
	return view(ctx, s.Engine, anyTime, invalid, func(t *tx) (page *ticketstore.Page, err error) {
		l := sessionListing(&walk.Filter)
		rows, place := readPage(t, l, walk)
		sids := keysOf(rows)
		t.needSessions(sids)
		page = &ticketstore.Page{HasPrev: place.HasPrev, HasNext: place.HasNext}
		for _, sid := range sids {
			page.Sessions = append(page.Sessions, *t.detail(sid))
		}
		page.TotalCount = t.total(&walk.Filter, l)
		rules.Number(page, walk)
		page.ResultsToken, err = rules.Token(walk, place, page.CurrentPage)
		return page, err
	})
}

// sessionListing selects the index: for a client's sessions that of the rows of clients, whose listed column
// is the creation of their session.
func sessionListing(f *ticketstore.SessionFilter) *listing {
	l := &listing{table: sessionTable, from: "{s}.sessions t", created: "t.created", id: "t.sid"}
	switch {
	case f.ClientID == "":
	case f.SessionID == "" && f.SubjectID == "":
		l.from = "{s}.client_uses u JOIN {s}.sessions t ON t.sid = u.sid"
		l.created, l.id = "u.listed", "u.sid"
		l.and("u.client = $%d AND u.listed IS NOT NULL", f.ClientID)
	default:
		l.and(`EXISTS (SELECT 1 FROM {s}.client_uses u WHERE u.sid = t.sid AND u.client = $%d
			AND u.listed IS NOT NULL)`, f.ClientID)
	}
	l.equal("t.sid", f.SessionID)
	l.equal("t.subject", f.SubjectID)
	for _, bound := range []struct {
		condition string
		at        time.Time
	}{
		{l.created + " >= $%d", f.CreatedFrom}, {l.created + " < $%d", f.CreatedBefore},
	} {
		if !bound.at.IsZero() {
			l.and(bound.condition, records.Nanos(bound.at))
		}
	}
	// No index covers these conditions, so the examined rows are counted. The server's lower() folds by its
	// locale, ours by Unicode: every engine must find the same sessions (rule 5).
	if f.DisplayName != "" || !f.ExpiresFrom.IsZero() || !f.ExpiresBefore.IsZero() {
		matches := f.Matcher()
		l.match = func(r *row) bool { return matches(records.SummaryOf(session(r))) }
	}
	return l
}

const (
	countAll    = "SELECT coalesce(sum(counts[$1]), 0)::bigint FROM {s}.slots"
	countClient = "SELECT coalesce(sum(sessions), 0)::bigint FROM {s}.client_counts WHERE client = $1"
)

// total is exact without a filter and with exact filters, even if it must count a subject's sessions;
// otherwise it gives up at a bound.
func (t *tx) total(f *ticketstore.SessionFilter, l *listing) int {
	exact := ticketstore.SessionFilter{SubjectID: f.SubjectID, SessionID: f.SessionID, ClientID: f.ClientID}
	switch {
	case *f != exact:
		return t.count(l, maxScan)
	case f.SessionID != "" || f.SubjectID != "":
		return t.count(l, math.MaxInt32)
	case f.ClientID != "":
		return t.number(countClient, f.ClientID)
	}
	return t.number(countAll, int(transfer.Sessions)+1)
}

func (s grants) Query(
	ctx context.Context, query grantstore.Query, now time.Time,
) (*grantstore.Page, error) {
	walk, invalid := query.Walk()
	return view(ctx, s.Engine, now, invalid, func(t *tx) (page *grantstore.Page, err error) {
		l := grantListing(&walk.Filter)
		l.prepare = func(rows []*row) {
			var sids []string
			for _, r := range rows {
				if sid := grant(r).GetSessionId(); sid != "" {
					sids = append(sids, sid)
				}
			}
			t.needSessions(sids)
		}
		// Each row is judged in the page's snapshot: a dead grant is never listed (rule 2).
		l.match = func(r *row) bool {
			return rules.Selected(&walk.Filter, r.ref().Type, grant(r)) && t.judge(r) == nil
		}
		rows, place := readPage(t, l, walk)
		page = &grantstore.Page{HasPrev: place.HasPrev, HasNext: place.HasNext}
		for _, r := range rows {
			g := r.grantOf()
			g.Data = nil
			page.Grants = append(page.Grants, g)
		}
		page.ResultsToken, err = rules.Token(walk, place, 0)
		return page, err
	})
}

// grantListing returns a listing that includes all grants selected by a filter and, if it names a subject, no
// others.
func grantListing(f *grantstore.Filter) *listing {
	l := &listing{table: grantTable, from: "{s}.grants t", created: "t.created", id: "t.serial"}
	l.where = []string{"t.serial IS NOT NULL"}
	l.equal("t.sid", f.SessionID)
	l.equal("t.subject", f.SubjectID)
	l.equal("t.client", f.ClientID)
	// Along the index of a client, or of all, there may be any number of other grants: those examined are
	// counted.
	if f.Type != "" && (f.SessionID != "" || f.SubjectID != "") {
		l.and("t.type = $%d", int16(records.TypeNumber(f.Type)))
	}
	return l
}
