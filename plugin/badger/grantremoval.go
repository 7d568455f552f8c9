package badger

// Removals of grants, other than by the end of a session.

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
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Remove finds grants in a snapshot, without blocking the committer, and checks each again in the transaction
// that removes it.
//
// The committer orders an exchange or a refresh before or after that transaction. If after, the exchange
// finds its code or refresh token deleted. If before, the exchange has used the token, which is therefore
// kept (rule 3), and has stored new tokens with a later creation. This walk finds them, or the next one does:
// a caller repeats walks until one finds nothing (grantstore.Store.Remove).
func (s grants) Remove(
	ctx context.Context, removal grantstore.Removal, now time.Time,
) (*grantstore.RemovalResult, error) {
	if err := removal.Validate(); err != nil {
		return nil, err
	}
	var rows []grantstore.Grant
	var next []byte
	most := min(removal.Limit, maxInline, s.e.db.TransactionBytes()/2/grantBytes)
	err := s.e.db.View(ctx, func(r *kv.Snapshot) error {
		var from *ticketstore.Bound
		if len(removal.After) > 0 {
			from = &ticketstore.Bound{Position: removal.After}
		}
		found, err := grantsToRemove(r, &removal).Read(from, false, most, listing.MaxScan)
		if err != nil {
			return err
		}
		rows = found.Rows
		if found.More {
			next = found.Seen
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var removed *grantstore.RemovalResult
	err = s.e.end(ctx, func(tx *kv.Tx) error {
		before, err := kv.Find[records.Operation](tx, layout.OperationKey(removal.OperationID))
		if err != nil {
			return err
		}
		if before != nil {
			removed = records.RemovalOf(before.GetRemoved())
			return nil
		}
		removed = &grantstore.RemovalResult{Met: len(rows), Next: next}
		if len(rows) == 0 {
			return nil // an operation that did nothing need not be stored
		}
		if err := removeGrants(tx, rows, &removal, now, removed); err != nil {
			return err
		}
		return saveAnswer(tx, removal.OperationID,
			&records.Operation{When: records.Nanos(now), Removed: records.FromRemoval(removed)})
	})
	if err != nil {
		return nil, err
	}
	return removed, nil
}

// grantsToRemove lists the grants that a removal selects.
func grantsToRemove(r kv.Reader, removal *grantstore.Removal) *listing.Listing[grantstore.Grant] {
	l := grantListing(r, &removal.Filter, time.Time{})
	listed := l.R
	l.Match = func(_ []byte, value func() ([]byte, error)) (*grantstore.Grant, error) {
		stored, err := followGrant(listed, value)
		if err != nil || stored == nil || !rules.Removes(removal, stored.ref.Type, stored.grant) {
			return nil, err
		}
		return &grantstore.Grant{Ref: stored.ref}, nil
	}
	return l
}

// removeGrants removes grants that still exist unused. A key always has the same subject, session, client and
// type, but may hold a later consent.
func removeGrants(
	t *kv.Tx, rows []grantstore.Grant, removal *grantstore.Removal, now time.Time,
	removed *grantstore.RemovalResult,
) error {
	f := families{tx: t}
	for i := range rows {
		ref := rows[i].Ref
		g, err := grantrows.Load(t, ref)
		if err := t.StepOver(err); err != nil {
			return err
		}
		if g == nil || !rules.Removes(removal, ref.Type, g) {
			continue
		}
		revoked, consents := rules.Counts(ref.Type, judge(t, ref.Type, g, now))
		removed.GrantsRevoked += revoked
		removed.ConsentsRevoked += consents
		if err := replaceGrant(&f, ref, g, nil); err != nil {
			return err
		}
	}
	return f.save()
}
