package badger

// The purge of dead grants' rows: bounded, and resumed after a restart.

import (
	"context"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// purgeDead removes at most limit rows of grants that their session or its ended record does not let live. It
// returns how many were tokens in use, and whether there may be more.
func purgeDead(t *kv.Tx, sid string, limit int, now time.Time) (revoked int, more bool, err error) {
	dead, more, err := deadOf(t, sid, limit, now)
	if err != nil {
		return 0, false, err
	}
	f, room := families{tx: t}, t.Share(6)
	for i, d := range dead {
		if room -= d.removes(); room < 0 && i > 0 && limit != unbounded {
			more = true
			break
		}
		if d.damaged != nil {
			t.Delete(d.entry)
			if err := t.Abandon(d.damaged); err != nil {
				return revoked, more, err
			}
			continue
		}
		if d.inUse {
			revoked++
		}
		if err := replaceGrant(&f, d.ref, d.grant, nil); err != nil {
			return revoked, more, err
		}
	}
	return revoked, more, f.save()
}

type storedGrant struct {
	ref   grantstore.Ref
	grant *records.Grant
	// damaged is why the grant of an index entry cannot be read.
	damaged error
	entry   []byte
	// inUse: the grant was a token in use when its session ended.
	inUse bool
}

// grantBytes exceeds the size of removing a grant whose ids have the maximum length.
const grantBytes = 12 << 10

// removes returns the size of removing a grant: its row and seven index entries.
func (g *storedGrant) removes() int {
	return 8 * (len(g.grant.GetSubjectId()) + len(g.grant.GetSessionId()) + len(g.grant.GetClientId()) +
		len(g.grant.GetRequestId()) + 64)
}

// deadOf finds at most limit rows of dead grants of a session.
//
// A session that is expired but not ended has not decided yet which grants outlive it, so its grants are not
// purged.
func deadOf(r kv.Reader, sid string, limit int, now time.Time) (dead []storedGrant, rest bool, err error) {
	session, err := loadSession(r, sid)
	if layout.IsDamage(err) {
		session, err = &records.Session{}, r.StepOver(err) // the session exists: its clients' rows decide
	}
	if err != nil {
		return nil, false, err
	}
	take := func(g *storedGrant) (bool, error) {
		isDead, err := deadIn(r, session, g, now)
		if err != nil || !isDead {
			return err == nil, err
		}
		if rest = len(dead) == limit; !rest {
			dead = append(dead, *g)
		}
		return !rest, nil
	}
	listed := grantrows.NewListing(r)
	err = listed.Scan(layout.Key(layout.IndexGrantSession, layout.More(sid)), nil, false,
		func(k []byte, value func() ([]byte, error)) (bool, error) {
			g, err := followGrant(listed, value)
			if layout.IsDamage(err) {
				g, err = &storedGrant{damaged: err, entry: k}, nil
			}
			if err != nil || g == nil {
				return err == nil, err
			}
			return take(g)
		})
	if err == nil && !rest {
		err = usedOf(r, sid, take)
	}
	return dead, rest, err
}

// deadIn reports whether a session (nil: it has ended) does not let one of its grants live.
func deadIn(r kv.Reader, session *records.Session, g *storedGrant, now time.Time) (dead bool, err error) {
	if g.damaged != nil {
		if session != nil {
			return false, r.StepOver(g.damaged) // its client is unknown
		}
		return true, nil // it serves no request
	}
	if !g.ref.Type.IsToken() {
		return false, nil
	}
	standing, err := standingIn(r, session, g.grant)
	if err != nil {
		return false, r.StepOver(err)
	}
	dead, g.inUse = rules.PurgedByEnd(g.ref.Type, g.grant, &standing, now)
	return dead, nil
}

// followGrant reads the grant of an index entry, or returns nil if it is gone.
func followGrant(r kv.Reader, value func() ([]byte, error)) (*storedGrant, error) {
	v, err := value()
	if err != nil {
		return nil, err
	}
	ref, ok := records.RefOf(v)
	if !ok {
		return nil, layout.DamagedEntry(layout.IndexGrantAll)
	}
	g, err := grantrows.Load(r, ref)
	if err != nil || g == nil {
		return nil, err
	}
	return &storedGrant{ref: ref, grant: g}, nil
}

// purgeSession removes the rows of dead grants left by a closing. The number of tokens in use among them is
// added to the job that left them, in the transaction that removes them, so that each is counted exactly
// once, whichever call does the work.
func (e *Engine) purgeSession(ctx context.Context, sid string, now time.Time) error {
	for more := true; more; {
		err := e.updateInBackground(ctx, func(tx *kv.Tx) (err error) {
			marked, err := tx.Get(layout.PurgeKey(sid))
			if more = marked != nil; err != nil || !more {
				return err // a concurrent call was faster
			}
			revoked := 0
			if revoked, more, err = purgeMarked(tx, sid, now); err != nil || revoked == 0 ||
				len(marked) == 0 {
				return err
			}
			return addProgress(tx, string(marked), &logout.Result{GrantsRevoked: revoked})
		})
		if err != nil {
			return fmt.Errorf("purge after the end of a session: %w", err)
		}
	}
	return nil
}

// purgeMarked removes a bounded number of these rows, and the mark once none are left.
func purgeMarked(t *kv.Tx, sid string, now time.Time) (revoked int, more bool, err error) {
	revoked, more, err = purgeDead(t, sid, maxInline, now)
	if err == nil && !more {
		t.Delete(layout.PurgeKey(sid))
	}
	return revoked, more, err
}

// maxPurge bounds the records of a kind purged by one transaction, because other changes wait for it.
const maxPurge = 64

// Purge deletes obsolete records. Expired grants were dead before: deleting them changes only the text of the
// error.
func (s grants) Purge(ctx context.Context, limit int, now time.Time) (purged int, err error) {
	if limit <= 0 {
		return 0, nil
	}
	for purged < limit && err == nil {
		n := 0
		err = s.e.updateInBackground(ctx, func(tx *kv.Tx) (err error) {
			if n, err = purgeExpired(tx, min(limit-purged, maxPurge), now); err != nil || n > 0 {
				return err
			}
			if n, err = purgeOperations(tx, min(limit-purged, maxPurge), now); err != nil || n > 0 {
				return err
			}
			n, err = reduceUsed(tx, min(limit-purged, reduceBatch), now)
			return err
		})
		purged += n
		if n == 0 {
			break
		}
	}
	return purged, err
}

func purgeExpired(t *kv.Tx, limit int, now time.Time) (int, error) {
	f := families{tx: t}
	n, err := takeEntries(t, layout.IndexGrantDue, limit, now, func(id string) error {
		ref, ok := records.RefOf(id)
		if !ok {
			return nil
		}
		g, err := grantrows.Load(t, ref)
		if g == nil {
			return t.Abandon(err)
		}
		switch rules.RetentionOf(g, now) {
		case rules.Deleted:
			return replaceGrant(&f, ref, g, nil)
		case rules.Reduced:
			return replaceGrant(&f, ref, g, rules.Reduce(g, now))
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, f.save()
}

func purgeOperations(t *kv.Tx, limit int, now time.Time) (n int, err error) {
	due, err := dueEntries(t, layout.IndexOperationAge, limit, now.Add(-grantstore.OperationRetention))
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		if n == limit {
			break
		}
		others, err := t.Get(d.key)
		if err != nil {
			return 0, err
		}
		t.Delete(d.key)
		when, ids, err := layout.OperationsOfAge(d.key, others)
		if err != nil { // already logged
			n++
			continue
		}
		for _, id := range ids {
			if n == limit {
				t.Gather(layout.OperationAge(when), string(id))
				continue
			}
			t.Delete(layout.OperationKey(string(id)))
			n++
		}
	}
	return n, nil
}

// dueEntry is an entry of an index ordered by time.
type dueEntry struct {
	key []byte
	at  time.Time
	id  []byte
}

// dueEntries returns the first entries of an index ordered by time, up to and including now. A malformed
// entry has no id: nothing is due, and it is deleted like the others.
func dueEntries(r kv.Reader, index []byte, limit int, now time.Time) (due []dueEntry, err error) {
	err = r.Scan(index, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		at, id, err := layout.SplitTimed(k, len(index))
		if err != nil {
			at, err = time.Time{}, r.StepOver(err)
		}
		if err != nil || at.After(now) || len(due) == limit {
			return false, err
		}
		due = append(due, dueEntry{key: k, at: at, id: id})
		return true, nil
	})
	return due, err
}

// takeEntries deletes the entries that dueEntries returns, calls f with their ids, and returns their number.
func takeEntries(
	t *kv.Tx, index []byte, limit int, now time.Time, f func(id string) error,
) (int, error) {
	due, err := dueEntries(t, index, limit, now)
	for i := 0; i < len(due) && err == nil; i++ {
		t.Delete(due[i].key)
		err = f(string(due[i].id))
	}
	return len(due), err
}

// firstDue returns the time of the first entry of an index ordered by time, or zero if it is empty.
func firstDue(r kv.Reader, index []byte) (at time.Time, err error) {
	err = r.Scan(index, nil, false, func(k []byte, _ func() ([]byte, error)) (_ bool, err error) {
		at, _, err = layout.SplitTimed(k, len(index))
		return err != nil, r.StepOver(err)
	})
	return at, err
}
