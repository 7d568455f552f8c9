package memory

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type grants struct{ s *Store }

var _ grantstore.Store = grants{}

func (s grants) Get(ctx context.Context, ref grantstore.Ref, now time.Time) (found *grantstore.GetResult, err error) {
	if err := ref.Validate(); err != nil {
		return nil, err
	}
	err = s.s.view(ctx, func(t *tx) error {
		g := t.grant(ref)
		if g == nil {
			return fmt.Errorf("%s: %w", ref.Type, ticketstore.ErrNotFound)
		}
		verdict := t.judge(ref.Type, g, now)
		if errors.Is(verdict, ticketstore.ErrNotFound) {
			return verdict
		}
		found = &grantstore.GetResult{Grant: *grantOf(string(records.RefBytes(ref)), g)}
		if verdict != nil {
			return verdict
		}
		if ref.Type == grantstore.AuthorizationCode {
			for _, other := range t.family(g.GetRequestId()) {
				if kind := other.kind(); kind == grantstore.OpenIDRequest || kind == grantstore.PKCERequest {
					found.Related = append(found.Related, *grantOf(other.key, other.Grant))
				}
			}
		}
		if session := t.session(g.GetSessionId()); session != nil && ref.Type.IsToken() {
			found.Session = &grantstore.SessionTimes{
				Renewed: records.Moment(session.GetRenewed()), Expires: records.Moment(session.GetExpires()), EndsAt: records.Moment(session.GetEndsAt()),
			}
		}
		return nil
	})
	return found, err
}

// listed returns the grants that a filter selects and that have an owner, in the order of their creation.
func (t *tx) listed(f *grantstore.Filter) (rows []entry[storedGrant]) {
	for _, g := range t.grantsWhere(func(kind grantstore.Type, g *records.Grant) bool {
		return kind != grantstore.JTI && kind != grantstore.PushedAuthorization && g.GetConsumed() == 0 &&
			(f.SubjectID == "" || g.GetSubjectId() == f.SubjectID) && (f.SessionID == "" || g.GetSessionId() == f.SessionID) &&
			(f.ClientID == "" || g.GetClientId() == f.ClientID) && (f.Type == "" || kind == f.Type)
	}) {
		rows = append(rows, entry[storedGrant]{grantPosition(g.key, g.Grant), g})
	}
	slices.SortFunc(rows, func(a, b entry[storedGrant]) int { return strings.Compare(a.position, b.position) })
	return rows
}

func (s grants) Query(ctx context.Context, query grantstore.Query, now time.Time) (result *grantstore.Page, err error) {
	walk, err := query.Walk()
	if err != nil {
		return nil, err
	}
	err = s.s.view(ctx, func(t *tx) (err error) {
		rows := slices.DeleteFunc(t.listed(&walk.Filter), func(e entry[storedGrant]) bool {
			return t.judge(e.row.kind(), e.row.Grant, now) != nil
		})
		p := pageOf(rows, walk)
		result = &grantstore.Page{HasPrev: p.hasPrev, HasNext: p.hasNext}
		for _, g := range p.rows {
			shown := grantOf(g.key, g.Grant)
			shown.Data = nil
			result.Grants = append(result.Grants, *shown)
		}
		result.ResultsToken, err = tokenOf(p, walk, 0)
		return err
	})
	return result, err
}

// Remove removes grants dead or alive: a session that is over but has not ended yet may still let its grants live again.
func (s grants) Remove(ctx context.Context, removal grantstore.Removal, now time.Time) (removed *grantstore.RemovalResult, err error) {
	if err := removal.Validate(); err != nil {
		return nil, err
	}
	err = s.s.change(ctx, func(t *tx) error {
		if before := load[records.Operation](t, transfer.Operations, removal.OperationID); before != nil {
			removed = records.RemovalOf(before.GetRemoved())
			return nil
		}
		removed = &grantstore.RemovalResult{}
		for _, e := range t.listed(&removal.Filter) {
			if e.position <= string(removal.After) || !removal.Takes(records.Moment(e.row.GetCreated()), records.Moment(e.row.GetBegan())) {
				continue
			}
			if removed.Met == removal.Limit {
				return t.removed(&removal, removed, now)
			}
			removed.Met, removed.Next = removed.Met+1, []byte(e.position)
			grantsRevoked, consents := t.drop(e.row, now)
			removed.GrantsRevoked += grantsRevoked
			removed.ConsentsRevoked += consents
		}
		removed.Next = nil // all have been looked at
		return t.removed(&removal, removed, now)
	})
	return removed, err
}

// drop removes a grant and counts it if it was live: as a token, or as a consent.
func (t *tx) drop(g storedGrant, now time.Time) (grantsRevoked, consents int) {
	live := t.judge(g.kind(), g.Grant, now) == nil
	t.delete(transfer.Grants, g.key)
	switch {
	case !live:
		return 0, 0
	case g.kind() == grantstore.UserConsent:
		return 0, 1
	}
	return 1, 0
}

// removed keeps the answer.
func (t *tx) removed(removal *grantstore.Removal, r *grantstore.RemovalResult, now time.Time) error {
	answer := &records.Operation{When: records.Nanos(now), Removed: records.FromRemoval(r)}
	t.save(transfer.Operations, removal.OperationID, answer)
	return nil
}

func (s grants) Purge(ctx context.Context, limit int, now time.Time) (purged int, err error) {
	err = s.s.change(ctx, func(t *tx) error {
		for _, g := range t.grantsWhere(func(_ grantstore.Type, g *records.Grant) bool { return purgeable(g, now) || large(g, now) }) {
			switch {
			case purged == limit:
				return nil
			case purgeable(g.Grant, now):
				t.delete(transfer.Grants, g.key)
			default:
				t.saveUsed(g.key, proto.CloneOf(g.Grant), 0)
			}
			purged++
		}
		for _, id := range t.keys(transfer.Operations) {
			over := records.Moment(load[records.Operation](t, transfer.Operations, id).GetWhen()).Add(grantstore.OperationRetention)
			if purged < limit && !now.Before(over) {
				t.delete(transfer.Operations, id)
				purged++
			}
		}
		return nil
	})
	return purged, err
}

// large tells whether a used grant has more than its grace, which is over, needs; one of a store of before had an hour.
func large(g *records.Grant, now time.Time) bool {
	return g.GetConsumed() != 0 && g.GetUsed() != 1 && !rules.UsedAgain(g, max(time.Hour, time.Duration(min(g.GetUsed(), math.MaxInt64))), now)
}

// purgeable: a used grant is kept until its Expires, so that its reuse is noticed.
func purgeable(g *records.Grant, now time.Time) bool {
	if g.GetExpires() == 0 && g.GetConsumed() != 0 {
		return !now.Before(records.Moment(g.GetConsumed()).Add(grantstore.ConsumedRetention))
	}
	return rules.Expired(g, now)
}
