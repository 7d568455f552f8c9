package memory

// Grants: judging, reading, listing, removal and purge.

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// grantAt returns the row of a grant, or nil.
func (t *tx) grantAt(ref grantstore.Ref) *row {
	return t.at(transfer.Grants, string(records.RefBytes(ref)))
}

// ref returns the reference of a grant's row, grant its record, or nil if there is no row.
func (r *row) ref() grantstore.Ref {
	ref, _ := records.RefOf(r.key)
	return ref
}

func (r *row) grant() *records.Grant { return messageOf[*records.Grant](r) }

func (r *row) grantOf() grantstore.Grant { return records.GrantOf(r.ref(), proto.CloneOf(r.grant())) }

// standing returns the rows of the session that judge a grant.
func (t *tx) standing(g *records.Grant) *rules.Standing {
	sid := g.GetSessionId()
	return &rules.Standing{Session: t.session(sid), Use: t.use(sid, g.GetClientId()), Ended: t.ended(sid)}
}

// judge decides whether a grant is live. Every read and every write of a grant calls it.
func (t *tx) judge(r *row) error { return rows{t}.Judge(r.ref().Type, r.grant()) }

// drop removes grants and returns how many live tokens and consents were among them.
func (t *tx) drop(rows ...*row) (revoked, consents int) {
	for _, r := range rows {
		tokens, given := rules.Counts(r.ref().Type, t.judge(r))
		revoked, consents = revoked+tokens, consents+given
		t.delete(r.kind, r.key)
	}
	return revoked, consents
}

func (s grants) Get(ctx context.Context, ref grantstore.Ref, now time.Time) (*grantstore.GetResult, error) {
	return view(ctx, s.Store, now, ref.Validate(), func(t *tx) (*grantstore.GetResult, error) {
		r := t.grantAt(ref)
		if r == nil {
			return nil, missing(string(ref.Type))
		}
		verdict := t.judge(r)
		if errors.Is(verdict, ticketstore.ErrNotFound) {
			return nil, verdict
		}
		found := &grantstore.GetResult{Grant: r.grantOf()}
		if verdict != nil {
			return found, verdict
		}
		if ref.Type == grantstore.AuthorizationCode {
			for _, other := range t.rows(familyOf(r.grant().RequestId)) {
				if rules.Related(other.ref().Type) {
					found.Related = append(found.Related, other.grantOf())
				}
			}
		}
		if ref.Type.IsToken() {
			found.Session = records.SessionTimesOf(t.session(r.grant().SessionId))
		}
		return found, nil
	})
}

func (s grants) Query(ctx context.Context, query grantstore.Query, now time.Time) (*grantstore.Page, error) {
	walk, invalid := query.Walk()
	return view(ctx, s.Store, now, invalid, func(t *tx) (result *grantstore.Page, err error) {
		rows, place := page(t, listing(&walk.Filter), walk, func(r *row) bool {
			return rules.Selected(&walk.Filter, r.ref().Type, r.grant()) && t.judge(r) == nil
		})
		result = &grantstore.Page{HasPrev: place.HasPrev, HasNext: place.HasNext}
		for _, r := range rows {
			g := r.grantOf()
			g.Data = nil
			result.Grants = append(result.Grants, g)
		}
		result.ResultsToken, err = rules.Token(walk, place, 0)
		return result, err
	})
}

// answer stores the answer to an operation.
func (t *tx) answer(id string, answer *records.Operation) {
	answer.When = records.Nanos(t.now)
	t.save(transfer.Operations, id, answer)
}

// behind returns the bound just after a position, or nil for none.
func behind(position string) *ticketstore.Bound {
	if position == "" {
		return nil
	}
	return &ticketstore.Bound{Position: []byte(position)}
}

func (s grants) Remove(
	ctx context.Context, removal grantstore.Removal, now time.Time,
) (*grantstore.RemovalResult, error) {
	return change(ctx, s.Store, now, removal.Validate(), func(t *tx) (*grantstore.RemovalResult, error) {
		if before := t.operation(removal.OperationID); before != nil {
			return records.RemovalOf(before.Removed), nil
		}
		index, from := listing(&removal.Filter), behind(string(removal.After))
		rows, found := t.read(index, from, false, removal.Limit, func(r *row) bool {
			return rules.Removes(&removal, r.ref().Type, r.grant())
		})
		removed := &grantstore.RemovalResult{Met: len(rows)}
		if found.More {
			removed.Next = found.Last
		}
		removed.GrantsRevoked, removed.ConsentsRevoked = t.drop(rows...)
		t.answer(removal.OperationID, &records.Operation{Removed: records.FromRemoval(removed)})
		return removed, nil
	})
}

func (s grants) Purge(ctx context.Context, limit int, now time.Time) (int, error) {
	return change(ctx, s.Store, now, nil, func(t *tx) (int, error) {
		due := append(t.dueRows(transfer.Grants), t.dueRows(transfer.Operations)...)
		due = due[:min(len(due), max(limit, 0))]
		for _, r := range due {
			if g := r.grant(); g != nil && rules.RetentionOf(g, now) == rules.Reduced {
				t.save(r.kind, r.key, rules.Reduce(g, now))
			} else {
				t.delete(r.kind, r.key)
			}
		}
		return len(due), nil
	})
}
