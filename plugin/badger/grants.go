package badger

// Grants (g), their families (f), and the entries of grants (ga gs gu gc gx gl).

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
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
		record, err := loadGrant(r, ref)
		if err != nil {
			return err
		}
		if record == nil {
			return fmt.Errorf("%s: %w", ref.Type, ticketstore.ErrNotFound)
		}
		verdict := judge(r, ref.Type, record, now)
		if verdict != nil && !errors.Is(verdict, grantstore.ErrConsumed) &&
			!errors.Is(verdict, grantstore.ErrSessionEnded) {
			return verdict
		}
		found = &grantstore.GetResult{Grant: *records.GrantOf(ref, record)}
		if verdict == nil && ref.Type == grantstore.AuthorizationCode {
			found.Related, err = related(r, record.GetRequestId())
		}
		if verdict == nil && err == nil && record.GetSessionId() != "" && ref.Type.IsToken() {
			found.Session, err = sessionTimes(r, record.GetSessionId())
		}
		return errors.Join(verdict, err)
	})
	return found, err
}

// sessionTimes returns nil for a session that has ended.
func sessionTimes(r kv.Reader, sid string) (*grantstore.SessionTimes, error) {
	session, err := loadSession(r, sid)
	return records.SessionTimesOf(session), err
}

// related returns what a code exchange needs along with the code.
func related(r kv.Reader, requestID string) (grantsOfFamily []grantstore.Grant, err error) {
	members, err := familyOf(r, requestID)
	if err != nil {
		return nil, err
	}
	for _, ref := range members {
		if !rules.Related(ref.Type) {
			continue
		}
		record, err := loadGrant(r, ref)
		if err != nil {
			return nil, err
		}
		if record != nil {
			grantsOfFamily = append(grantsOfFamily, *records.GrantOf(ref, record))
		}
	}
	return grantsOfFamily, nil
}

// loadGrant returns nil where there is no such grant.
func loadGrant(r kv.Reader, ref grantstore.Ref) (*records.Grant, error) {
	record := &records.Grant{}
	found, err := kv.Load(r, layout.GrantKey(ref), record)
	if err != nil || !found {
		return nil, err
	}
	return record, nil
}

// familyOf returns the live tokens of a request id.
func familyOf(r kv.Reader, requestID string) ([]grantstore.Ref, error) {
	if requestID == "" {
		return nil, nil
	}
	family := &recordpb.Family{}
	if _, err := kv.Load(r, layout.FamilyKey(requestID), family); err != nil {
		return nil, err
	}
	members := make([]grantstore.Ref, 0, len(family.GetMembers()))
	for _, m := range family.GetMembers() {
		ref, ok := records.RefOf(m)
		if !ok {
			return nil, layout.Damaged(layout.FamilyKey(requestID), fmt.Errorf("member of %d bytes", len(m)))
		}
		members = append(members, ref)
	}
	return members, nil
}

func saveFamily(t *kv.Tx, requestID string, members []grantstore.Ref) error {
	if len(members) == 0 {
		t.Delete(layout.FamilyKey(requestID))
		return nil
	}
	family := &recordpb.Family{}
	for _, ref := range members {
		family.Members = append(family.Members, records.RefBytes(ref))
	}
	return t.Save(layout.FamilyKey(requestID), family)
}

// insertGrant writes a new grant, its family and its indexes.
func insertGrant(t *kv.Tx, ref grantstore.Ref, g *records.Grant) error {
	putGrantIndexes(t, ref, g)
	if g.RequestId != "" && ref.Type.IsToken() {
		members, err := familyOf(t, g.RequestId)
		if err != nil {
			return err
		}
		if err := saveFamily(t, g.RequestId, append(members, ref)); err != nil {
			return err
		}
	}
	return t.Save(layout.GrantKey(ref), g)
}

// dropGrant removes a grant, from its family and its indexes too.
func dropGrant(t *kv.Tx, ref grantstore.Ref, g *records.Grant) error {
	dropGrantRow(t, ref, g)
	return leaveFamily(t, ref, g.GetRequestId())
}

// dropGrantRow leaves the grant in its family.
func dropGrantRow(t *kv.Tx, ref grantstore.Ref, g *records.Grant) {
	dropGrantIndexes(t, ref, g)
	t.Delete(layout.GrantKey(ref))
}

func putGrantIndexes(t *kv.Tx, ref grantstore.Ref, g *records.Grant) {
	for _, entry := range layout.GrantIndexes(ref, g) {
		t.Put(entry.Key, entry.Value)
	}
}

func dropGrantIndexes(t *kv.Tx, ref grantstore.Ref, g *records.Grant) {
	for _, entry := range layout.GrantIndexes(ref, g) {
		t.Delete(entry.Key)
	}
}

func leaveFamily(t *kv.Tx, ref grantstore.Ref, requestID string) error {
	members, err := familyOf(t, requestID)
	if err != nil {
		return t.StepOver(err) // in a family that cannot be read no member is missed
	}
	at := slices.Index(members, ref)
	if at < 0 {
		return nil
	}
	return saveFamily(t, requestID, slices.Delete(members, at, at+1))
}
