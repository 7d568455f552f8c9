package badger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type grants struct{ e *Engine }

var _ grantstore.Store = grants{}

func (s grants) Get(ctx context.Context, ref grantstore.Ref, now time.Time) (found *grantstore.GetResult, err error) {
	if err := ref.Validate(); err != nil {
		return nil, err
	}
	err = s.e.view(ctx, func(r reader) error {
		record, err := loadGrant(r, ref)
		if err != nil {
			return err
		}
		if record == nil {
			return fmt.Errorf("%s: %w", ref.Type, ticketstore.ErrNotFound)
		}
		verdict := judge(r, ref.Type, record, now)
		if verdict != nil && !errors.Is(verdict, grantstore.ErrConsumed) && !errors.Is(verdict, grantstore.ErrSessionEnded) {
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
func sessionTimes(r reader, sid string) (*grantstore.SessionTimes, error) {
	session, err := loadSession(r, sid)
	if err != nil || session == nil {
		return nil, err
	}
	return &grantstore.SessionTimes{
		Renewed: records.Moment(session.GetRenewed()), Expires: records.Moment(session.GetExpires()), EndsAt: records.Moment(session.GetEndsAt()),
	}, nil
}

// related returns what a code exchange needs along with the code.
func related(r reader, requestID string) (grantsOfFamily []grantstore.Grant, err error) {
	members, err := familyOf(r, requestID)
	if err != nil {
		return nil, err
	}
	for _, ref := range members {
		if ref.Type != grantstore.OpenIDRequest && ref.Type != grantstore.PKCERequest {
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
func loadGrant(r reader, ref grantstore.Ref) (*records.Grant, error) {
	record := &records.Grant{}
	found, err := load(r, grantKey(ref), record)
	if err != nil || !found {
		return nil, err
	}
	return record, nil
}

// familyOf returns the live tokens of a request id.
func familyOf(r reader, requestID string) ([]grantstore.Ref, error) {
	if requestID == "" {
		return nil, nil
	}
	family := &recordpb.Family{}
	if _, err := load(r, familyKey(requestID), family); err != nil {
		return nil, err
	}
	members := make([]grantstore.Ref, 0, len(family.GetMembers()))
	for _, m := range family.GetMembers() {
		ref, ok := records.RefOf(m)
		if !ok {
			return nil, &damage{familyKey(requestID), fmt.Errorf("member of %d bytes", len(m))}
		}
		members = append(members, ref)
	}
	return members, nil
}

func (t *tx) saveFamily(requestID string, members []grantstore.Ref) error {
	if len(members) == 0 {
		t.delete(familyKey(requestID))
		return nil
	}
	family := &recordpb.Family{}
	for _, ref := range members {
		family.Members = append(family.Members, records.RefBytes(ref))
	}
	return t.save(familyKey(requestID), family)
}

// insertGrant writes a new grant, its family and its indexes.
func (t *tx) insertGrant(ref grantstore.Ref, g *records.Grant) error {
	t.putIndexes(ref, g)
	if g.RequestId != "" && ref.Type.IsToken() {
		members, err := familyOf(t, g.RequestId)
		if err != nil {
			return err
		}
		if err := t.saveFamily(g.RequestId, append(members, ref)); err != nil {
			return err
		}
	}
	return t.save(grantKey(ref), g)
}

// dropGrant removes a grant, from its family and its indexes too.
func (t *tx) dropGrant(ref grantstore.Ref, g *records.Grant) error {
	t.dropRow(ref, g)
	return t.leaveFamily(ref, g)
}

// dropRow leaves the grant in its family.
func (t *tx) dropRow(ref grantstore.Ref, g *records.Grant) {
	t.dropIndexes(ref, g)
	t.delete(grantKey(ref))
}

func (t *tx) putIndexes(ref grantstore.Ref, g *records.Grant) {
	for _, entry := range grantIndexes(ref, g) {
		t.put(entry.key, entry.value)
	}
}

func (t *tx) dropIndexes(ref grantstore.Ref, g *records.Grant) {
	for _, entry := range grantIndexes(ref, g) {
		t.delete(entry.key)
	}
}

func (t *tx) leaveFamily(ref grantstore.Ref, g *records.Grant) error {
	members, err := familyOf(t, g.GetRequestId())
	if err != nil {
		return t.stepOver(err) // a family that nobody can read misses no member
	}
	at := slices.Index(members, ref)
	if at < 0 {
		return nil
	}
	return t.saveFamily(g.GetRequestId(), slices.Delete(members, at, at+1))
}

// consume marks a grant as used. It stays, outside its family, until it expires: its reuse must be noticed.
func (t *tx) consume(ref grantstore.Ref, g *records.Grant, grace time.Duration, now time.Time) error {
	if err := t.leaveFamily(ref, g); err != nil {
		return err
	}
	t.dropIndexes(ref, g)
	g.Consumed = records.Nanos(now)
	return t.saveUsed(ref, g, grace)
}

// indexEntry is an entry of an index: where it stands, and the type and key of what it leads to unless its place tells.
type indexEntry struct{ key, value []byte }

// grantIndexes are the index entries of a grant. Replay marks and pushed requests are nobody's and listed nowhere; a used grant can only
// be found by its session and by its age.
func grantIndexes(ref grantstore.Ref, g *records.Grant) (entries []indexEntry) {
	if due := grantDue(g); due != 0 {
		entries = append(entries, indexEntry{key: key(indexGrantDue, timeKey(due), records.RefBytes(ref))})
	}
	if ref.Type == grantstore.JTI || ref.Type == grantstore.PushedAuthorization {
		return entries
	}
	lead := func(k []byte) { entries = append(entries, indexEntry{k, records.RefBytes(ref)}) }
	position := append(timeKey(g.GetCreated()), serial(ref)...)
	switch {
	case g.GetSessionId() == "":
	case g.GetUsed() != 0:
		entries = append(entries, indexEntry{key: usedKey(g.GetSessionId(), ref)})
	default:
		lead(key(indexGrantSession, more(g.GetSessionId()), position))
	}
	if g.GetConsumed() != 0 {
		return entries
	}
	lead(key(indexGrantAll, position))
	if g.GetSubjectId() != "" && (g.GetSessionId() == "" || ref.Type == grantstore.UserConsent) {
		lead(key(indexGrantLoose, more(g.GetSubjectId()), more(g.GetClientId()), records.RefBytes(ref)))
	}
	if g.GetSubjectId() != "" {
		lead(key(indexGrantSubject, more(g.GetSubjectId()), position))
	}
	if g.GetClientId() != "" {
		lead(key(indexGrantClient, more(g.GetClientId()), position))
	}
	return entries
}

// grantDue is when the grant may be purged, or made small, 0 for never.
func grantDue(g *records.Grant) int64 {
	due := g.GetExpires()
	if due == 0 && g.GetConsumed() != 0 {
		due = records.Nanos(records.Moment(g.GetConsumed()).Add(grantstore.ConsumedRetention))
	}
	if g.GetUsed() > 1 {
		due = min(due, graceOver(g))
	}
	return due
}
