package postgres

// Grants: reading, listing, removal and purge.

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (r *row) grantOf() grantstore.Grant { return records.GrantOf(r.ref(), grant(r)) }

// Get reads a grant, the rows that judge it, and the related rows of a code, in one snapshot and one round
// trip.
func (s grants) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (*grantstore.GetResult, error) {
	type answer struct {
		found   *grantstore.GetResult
		verdict error // of a grant that is returned nevertheless
	}
	p := &plan{}
	if p.grant(ref); ref.Type == grantstore.AuthorizationCode {
		p.exchange(ref, "")
	}
	a, err := find(ctx, s.Engine, now, ref.Validate(), p, func(t *tx) (answer, error) {
		r := t.grant(ref)
		if r.now == nil {
			return answer{}, missing(string(ref.Type))
		}
		verdict := t.judge(r)
		if errors.Is(verdict, ticketstore.ErrNotFound) {
			return answer{}, verdict
		}
		found := &grantstore.GetResult{Grant: r.grantOf()}
		if verdict != nil {
			return answer{found, verdict}, nil
		}
		if ref.Type == grantstore.AuthorizationCode {
			for _, other := range t.family(grant(r).GetRequestId()) {
				if rules.Related(other.ref().Type) {
					found.Related = append(found.Related, other.grantOf())
				}
			}
		}
		if sid := grant(r).GetSessionId(); ref.Type.IsToken() && sid != "" {
			found.Session = records.SessionTimesOf(t.session(sid))
		}
		return answer{found, nil}, nil
	})
	return a.found, cmp.Or(err, a.verdict)
}

// drop removes grants and returns how many live tokens and consents were among them.
func (t *tx) drop(rows ...*row) (revoked, consents int) {
	for _, r := range rows {
		tokens, given := rules.Counts(r.ref().Type, t.judge(r))
		revoked, consents = revoked+tokens, consents+given
		t.remove(r)
	}
	return revoked, consents
}

// answer stores the answer to an operation. Two attempts at one operation conflict in its row.
func (t *tx) answer(id string, answer *records.Operation) {
	answer.When = records.Nanos(t.now)
	t.put(transfer.Operations, id, answer)
}

// removeBatch bounds the rows removed by one transaction.
const removeBatch = 256

// Remove finds grants along the index with the fewest, and checks each again under its lock: it may have been
// used, or stored anew.
func (s grants) Remove(
	ctx context.Context, removal grantstore.Removal, now time.Time,
) (*grantstore.RemovalResult, error) {
	p := planOf(removal.OperationID).operation(removal.OperationID)
	return update(ctx, s.Engine, now, removal.Validate(), p, func(t *tx) (*grantstore.RemovalResult, error) {
		t.ends = true
		if before := t.operation(removal.OperationID); before != nil {
			return records.RemovalOf(before.GetRemoved()), nil
		}
		l := grantListing(&removal.Filter)
		l.lenient = true
		l.match = func(r *row) bool { return rules.Removes(&removal, r.ref().Type, grant(r)) }
		rows, found := t.readListing(l, behind(removal.After), false, min(removal.Limit, removeBatch))
		result := &grantstore.RemovalResult{Met: len(rows)}
		if found.More {
			result.Next = found.Seen
		}
		result.GrantsRevoked, result.ConsentsRevoked = t.dropFound(rows, l.match)
		if len(rows) > 0 { // an operation that did nothing need not be stored
			t.answer(removal.OperationID, &records.Operation{Removed: records.FromRemoval(result)})
		}
		return result, nil
	})
}

// dropFound drops grants found along an index if they still match under their lock.
func (t *tx) dropFound(rows []*row, match func(r *row) bool) (revoked, consents int) {
	keys := keysOf(rows)
	t.need(transfer.Grants, keys...)
	var still []*row
	judging := &plan{}
	for _, key := range keys {
		if r := t.row(transfer.Grants, key); r.now != nil && match(r) {
			still = append(still, r)
			judging.session(grant(r).GetSessionId())
		}
	}
	t.needSessions(judging.sids)
	return t.drop(still...)
}

// needSessions reads sessions with their clients and their ended records.
func (t *tx) needSessions(sids []string) {
	p := &plan{}
	for _, sid := range sids {
		if !t.whole[clientsOf(sid)] || t.rows[nameOf(transfer.Sessions, sid)] == nil {
			p.session(sid)
		}
	}
	t.read(p.queries()...)
	t.planned(p)
}

const (
	dueGrants = "SELECT key, type FROM {s}.grants WHERE due <= $1 ORDER BY due LIMIT $2"
	dueUsed   = "SELECT key, type FROM {s}.used WHERE ring = 4 AND due <= $1 ORDER BY due LIMIT $2"
)

// Purge deletes rows that are due one by one, then empties expired partitions, and purges counts. It waits
// for rows that another host has locked.
func (s grants) Purge(ctx context.Context, limit int, now time.Time) (purged int, err error) {
	if limit <= 0 {
		return 0, nil
	}
	most := min(limit, purgeBatch)
	for purged < limit && err == nil {
		var n int
		err = s.passingOver(ctx, now, rowAlone, func() (err error) {
			n, err = s.purgeDue(ctx, min(most, limit-purged), now)
			return err
		})
		purged += n
		if n < most {
			break
		}
	}
	if err == nil && purged < limit {
		var emptied int
		emptied, err = s.emptyRings(ctx, now)
		purged = min(purged+emptied, limit)
	}
	if err == nil {
		err = s.purgeCounts(ctx, now)
	}
	return purged, err
}

// purgeBatch bounds the rows deleted by one transaction of a purge.
const purgeBatch = 512

func (s grants) purgeDue(ctx context.Context, limit int, now time.Time) (int, error) {
	due, err := view(ctx, s.Engine, now, nil, func(t *tx) ([]string, error) {
		at := records.Nanos(now)
		due := append(t.refs(dueGrants, at, limit), t.refs(dueUsed, at, limit)...)
		return due[:min(len(due), limit)], nil
	})
	if err != nil || len(due) == 0 {
		return 0, err
	}
	return update(ctx, s.Engine, now, nil, planOf("purge"), func(t *tx) (purged int, err error) {
		t.need(transfer.Grants, due...)
		for _, key := range due {
			r := t.row(transfer.Grants, key)
			if r.now == nil {
				continue // another host was faster
			}
			purged++
			switch rules.RetentionOf(grant(r), now) {
			case rules.Deleted:
				t.remove(r)
			case rules.Reduced:
				t.put(transfer.Grants, key, rules.Reduce(grant(r), now))
			}
		}
		return purged, nil
	})
}
