package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type grants struct{ s *Store }

var _ grantstore.Store = grants{}

// grantOf returns a grant whose memory is the caller's.
func grantOf(ref grantstore.Ref, g *records.Grant) *grantstore.Grant {
	return records.GrantOf(ref, proto.CloneOf(g))
}

// standing is what its session says of a grant.
func (t *tx) standing(g *records.Grant) *rules.Standing {
	sid := g.GetSessionId()
	return &rules.Standing{Session: t.session(sid), Use: t.use(sid, g.GetClientId()), Ended: t.ended(sid)}
}

// judge decides whether a grant is live. Every read and every write of a grant asks it.
func (t *tx) judge(kind grantstore.Type, g *records.Grant) error {
	return rules.Judge(kind, g, t.standing(g), t.now)
}

// drop removes a grant and counts it if it was live: as a token, or as a consent.
func (t *tx) drop(ref grantstore.Ref, g *records.Grant) (revoked, consents int) {
	revoked, consents = rules.Counts(ref.Type, t.judge(ref.Type, g))
	t.delete(transfer.Grants, string(records.RefBytes(ref)))
	return revoked, consents
}

func (s grants) Get(ctx context.Context, ref grantstore.Ref, now time.Time) (found *grantstore.GetResult, err error) {
	if err := ref.Validate(); err != nil {
		return nil, err
	}
	err = s.s.view(ctx, now, func(t *tx) error {
		g := t.grant(ref)
		if g == nil {
			return fmt.Errorf("%s: %w", ref.Type, ticketstore.ErrNotFound)
		}
		verdict := t.judge(ref.Type, g)
		if errors.Is(verdict, ticketstore.ErrNotFound) {
			return verdict
		}
		found = &grantstore.GetResult{Grant: *grantOf(ref, g)}
		if verdict != nil {
			return verdict // along with what was found
		}
		if ref.Type == grantstore.AuthorizationCode {
			for _, r := range t.family(g.GetRequestId()) {
				if rules.Related(r.ref().Type) {
					found.Related = append(found.Related, *grantOf(r.ref(), t.grant(r.ref())))
				}
			}
		}
		if ref.Type.IsToken() {
			found.Session = records.SessionTimesOf(t.session(g.GetSessionId()))
		}
		return nil
	})
	return found, err
}

// listing is the index that leads to the grants that a filter selects.
func listing(f *grantstore.Filter) string {
	switch {
	case f.SessionID != "":
		return "as" + f.SessionID + "\x00"
	case f.SubjectID != "":
		return "au" + f.SubjectID + "\x00"
	}
	return "a\x00"
}

func (s grants) Query(
	ctx context.Context, query grantstore.Query, now time.Time,
) (result *grantstore.Page, err error) {
	walk, err := query.Walk()
	if err != nil {
		return nil, err
	}
	err = s.s.view(ctx, now, func(t *tx) (err error) {
		rows, place := page(t, listing(&walk.Filter), walk, func(r *row) bool {
			kind, g := r.ref().Type, t.grant(r.ref())
			return rules.Selected(&walk.Filter, kind, g) && t.judge(kind, g) == nil
		})
		result = &grantstore.Page{HasPrev: place.HasPrev, HasNext: place.HasNext}
		for _, r := range rows {
			g := records.GrantOf(r.ref(), t.grant(r.ref()))
			g.Data = nil
			result.Grants = append(result.Grants, *g)
		}
		result.ResultsToken, err = rules.Token(walk, place, 0)
		return err
	})
	return result, err
}

func (s grants) Remove(
	ctx context.Context, removal grantstore.Removal, now time.Time,
) (removed *grantstore.RemovalResult, err error) {
	if err := removal.Validate(); err != nil {
		return nil, err
	}
	err = s.s.change(ctx, now, func(t *tx) error {
		if before := t.operation(removal.OperationID); before != nil {
			removed = records.RemovalOf(before.GetRemoved())
			return nil
		}
		var from *ticketstore.Bound
		if len(removal.After) > 0 {
			from = &ticketstore.Bound{Position: removal.After}
		}
		match := func(r *row) bool { return rules.Removes(&removal, r.ref().Type, t.grant(r.ref())) }
		rows, found := t.read(listing(&removal.Filter), from, false, removal.Limit, match)
		removed = &grantstore.RemovalResult{Met: len(rows)}
		if found.More {
			removed.Next = found.Last
		}
		for _, r := range rows {
			revoked, consents := t.drop(r.ref(), t.grant(r.ref()))
			removed.GrantsRevoked += revoked
			removed.ConsentsRevoked += consents
		}
		t.answer(removal.OperationID, &records.Operation{Removed: records.FromRemoval(removed)})
		return nil
	})
	return removed, err
}

func (s grants) Purge(ctx context.Context, limit int, now time.Time) (purged int, err error) {
	err = s.s.change(ctx, now, func(t *tx) error {
		due := append(t.due(transfer.Grants), t.due(transfer.Operations)...)
		for _, r := range due[:min(len(due), max(limit, 0))] {
			g, ok := r.message.(*records.Grant)
			if ok && rules.FateOf(g, now) == rules.Shrinks {
				t.save(transfer.Grants, r.key, rules.Shrink(g, now))
			} else {
				t.delete(r.kind, r.key)
			}
			purged++
		}
		return nil
	})
	return purged, err
}
