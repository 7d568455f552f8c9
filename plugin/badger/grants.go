package badger

// Grants (g) and their index entries (ga gs gu gc gx gl).

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type grants struct{ e *Engine }

var _ grantstore.Store = grants{}

func (s grants) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (found *grantstore.GetResult, err error) {
	if err := ref.Validate(); err != nil {
		return nil, err
	}
	err = s.e.db.View(ctx, func(r *kv.Snapshot) error {
		record, err := grantrows.Load(r, ref)
		if err != nil {
			return err
		}
		if record == nil {
			return fmt.Errorf("%s: %w", ref.Type, ticketstore.ErrNotFound)
		}
		standing, verdict := judged(r, ref.Type, record, now)
		if verdict != nil && !errors.Is(verdict, grantstore.ErrConsumed) &&
			!errors.Is(verdict, grantstore.ErrSessionEnded) {
			return verdict
		}
		found = &grantstore.GetResult{Grant: records.GrantOf(ref, record)}
		if verdict == nil && ref.Type == grantstore.AuthorizationCode {
			found.Related, err = related(r, record.GetRequestId())
		}
		if verdict == nil {
			found.Session = records.SessionTimesOf(standing.Session)
		}
		return errors.Join(verdict, err)
	})
	return found, err
}

// related returns the grants that a code exchange needs along with the code.
func related(r kv.Reader, requestID string) (grantsOfFamily []grantstore.Grant, err error) {
	members, err := grantrows.Family(r, requestID)
	if err != nil {
		return nil, err
	}
	for _, ref := range members {
		if !rules.Related(ref.Type) {
			continue
		}
		record, err := grantrows.Load(r, ref)
		if err != nil {
			return nil, err
		}
		if record != nil {
			grantsOfFamily = append(grantsOfFamily, records.GrantOf(ref, record))
		}
	}
	return grantsOfFamily, nil
}

// replaceGrant writes next in place of old, including its family and indexes. Nil means no grant. A used
// grant belongs to no family.
func replaceGrant(f *families, ref grantstore.Ref, old, next *records.Grant) error {
	t := f.tx
	var was, is []layout.Entry // listings that do not depend on its family
	switch {
	case old == nil:
	case grantrows.OfFamily(ref, old):
		if err := f.remove(ref, old); err != nil {
			return err
		}
	default:
		was = layout.GrantListings(ref, old)
	}
	if next == nil {
		replaceEntries(t, was, nil)
		dropGrantRow(t, ref, old)
		return nil
	}
	if grantrows.OfFamily(ref, next) {
		if err := f.add(ref, next); err != nil {
			return err
		}
	} else {
		is = layout.GrantListings(ref, next)
		if old != nil && grantrows.OfFamily(ref, old) && (len(is) > 0 || rules.LegacyUsed(next)) {
			if err := f.save(); err != nil { // removes its old entries, some of which may be the same
				return err
			}
		}
	}
	replaceEntries(t, append(was, layout.GrantIndexes(ref, old)...),
		append(is, layout.GrantIndexes(ref, next)...))
	return t.Save(layout.GrantKey(ref), next)
}

// putGrant is replaceGrant followed by saving the family.
func putGrant(t *kv.Tx, ref grantstore.Ref, old, next *records.Grant) error {
	f := families{tx: t}
	if err := replaceGrant(&f, ref, old, next); err != nil {
		return err
	}
	return f.save()
}

// dropGrantRow removes a grant's row and indexes but keeps it in its family and listings.
func dropGrantRow(t *kv.Tx, ref grantstore.Ref, g *records.Grant) {
	replaceEntries(t, layout.GrantIndexes(ref, g), nil)
	t.Delete(layout.GrantKey(ref))
}

// replaceEntries replaces index entries. It does not rewrite entries that stay the same.
func replaceEntries(t *kv.Tx, was, is []layout.Entry) {
	for _, entry := range was {
		if !slices.ContainsFunc(is, entry.Equal) {
			t.Delete(entry.Key)
		}
	}
	for _, entry := range is {
		if !slices.ContainsFunc(was, entry.Equal) {
			t.Put(entry.Key, entry.Value)
		}
	}
}
