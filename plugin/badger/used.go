package badger

import (
	"crypto/sha256"
	"math"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// A used grant is kept until it expires, so that its reuse is noticed: a client that refreshes every hour
// for a month leaves 720 of them. What that needs takes at most 250 bytes, indexes included, where ids are
// as long as fosite's. The rest goes with the use, or with its grace.

// formerGrace is for how long a grant that was used in a store of before is kept whole: as long as any
// grace is thought to last.
const formerGrace = time.Hour

// How much of the hash of a sid, and of a type and key, an entry of the used ones has: enough to find few
// others.
const (
	usedSessionLength = 6
	usedRefLength     = 16
)

func usedPrefix(sid string) []byte {
	sum := sha256.Sum256([]byte(sid))
	return key(indexGrantUsed, sum[:usedSessionLength])
}

func usedKey(sid string, ref grantstore.Ref) []byte {
	return key(usedPrefix(sid), records.RefBytes(ref)[:usedRefLength])
}

// saveUsed writes a used grant that may be used again for that long, and its place.
func (t *tx) saveUsed(ref grantstore.Ref, g *records.Grant, grace time.Duration) error {
	if grace > 0 {
		g.Used = 1 + uint64(grace)
	} else {
		g = &records.Grant{
			RequestId: g.RequestId, SessionId: g.SessionId, ClientId: g.ClientId,
			Created: g.Created, Expires: g.Expires, Consumed: g.Consumed,
			Offline: g.Offline, TokenNumber: g.TokenNumber, Outlives: g.Outlives, Used: 1,
		}
	}
	t.putIndexes(ref, g)
	return t.save(grantKey(ref), g)
}

// graceOver is the first moment at which a used grant cannot be used again.
func graceOver(g *records.Grant) int64 {
	if over := g.GetConsumed() + int64(g.GetUsed()); over > g.GetConsumed() {
		return over
	}
	return math.MaxInt64
}

// usedOf calls f for the used grants of a session, until it returns false. Entries that lead to nothing are
// passed over.
func usedOf(r reader, sid string, f func(g *storedGrant) (bool, error)) error {
	prefix := usedPrefix(sid)
	return r.scan(prefix, nil, false, func(entry []byte, _ func() ([]byte, error)) (goOn bool, err error) {
		goOn = true
		row := key(tableGrant, entry[len(prefix):])
		err = r.scan(row, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
			v, err := value()
			if err != nil {
				return false, err
			}
			ref, ok := records.RefOf(k[len(tableGrant):])
			g := &storedGrant{ref: ref, grant: &records.Grant{}, entry: entry}
			if g.damaged = decode(k, v, g.grant); g.damaged == nil && (!ok || g.grant.GetSessionId() != sid) {
				return true, nil
			}
			goOn, err = f(g)
			return goOn, err
		})
		return goOn, err
	})
}

// shrink takes what is not needed any more from a used grant whose grace is over, and reports whether the
// grant is to stay.
func (t *tx) shrink(ref grantstore.Ref, g *records.Grant, now time.Time) (bool, error) {
	if g.GetUsed() <= 1 || rules.Expired(g, now) {
		return false, nil
	}
	t.dropIndexes(ref, g)
	return true, t.saveUsed(ref, g, 0)
}

// maxMakeSmall bounds the grants that one transaction looks at for used ones that a release before kept
// whole.
const maxMakeSmall = 256

// usedTypes are the types of which there are used ones, as parts of keys in their order.
var usedTypes = [][]byte{typePrefix(grantstore.AuthorizationCode), typePrefix(grantstore.RefreshToken)}

// makeSmall goes on making used grants small that a release before kept whole, and returns how many it has
// looked at, at most limit: 0 when all are.
func (t *tx) makeSmall(limit int, now time.Time) (n int, err error) {
	place, err := t.get(makeSmallKey)
	if err != nil || place == nil {
		return 0, err
	}
	var found []grantstore.Ref
	for _, prefix := range usedTypes {
		from := key(tableGrant, prefix)
		if string(place) > string(prefix) {
			from = key(tableGrant, place)
		}
		table := key(tableGrant, prefix)
		err := t.scan(table, from, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
			if n == limit {
				return false, nil
			}
			n++
			place = append(k[len(tableGrant):], 0) // behind it
			v, err := value()
			if err != nil {
				return false, err
			}
			g := &records.Grant{}
			if err := decode(k, v, g); err != nil {
				return true, t.stepOver(err)
			}
			if ref, ok := records.RefOf(k[len(tableGrant):]); ok && g.GetConsumed() != 0 && g.GetUsed() == 0 {
				found = append(found, ref)
			}
			return true, nil
		})
		if err != nil {
			return n, err
		}
	}
	for _, ref := range found {
		if err := t.makeOneSmall(ref, now); err != nil {
			return n, err
		}
	}
	if n < limit {
		t.delete(makeSmallKey)
		return max(n, 1), nil
	}
	t.put(makeSmallKey, place)
	return n, nil
}

func (t *tx) makeOneSmall(ref grantstore.Ref, now time.Time) error {
	g, err := loadGrant(t, ref)
	if err != nil {
		return err
	}
	t.dropIndexes(ref, g)
	if rules.UsedAgain(g, formerGrace, now) {
		return t.saveUsed(ref, g, formerGrace)
	}
	return t.saveUsed(ref, g, 0)
}
