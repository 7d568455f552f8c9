package badger

// Used grants: kept whole during the grace, then reduced to what detects their reuse.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// A used grant is kept until it expires so that its reuse is detected: a client that refreshes every hour for
// a month leaves 720 of them. What this needs takes at most 250 bytes including indexes, with ids as long as
// fosite's. The rest is deleted on use, or when the grace is over.

// usedOf calls f for the used grants of a session until it returns false. Entries without a grant are
// skipped.
func usedOf(r kv.Reader, sid string, f func(g *storedGrant) (bool, error)) error {
	prefix := layout.UsedPrefix(sid)
	return r.Scan(prefix, nil, false, func(entry []byte, _ func() ([]byte, error)) (more bool, err error) {
		more = true
		row := layout.Key(layout.TableGrant, entry[len(prefix):])
		err = r.Scan(row, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
			v, err := value()
			if err != nil {
				return false, err
			}
			ref, ok := records.RefOf(k[len(layout.TableGrant):])
			g := &storedGrant{ref: ref, grant: &records.Grant{}, entry: entry}
			if g.damaged = layout.Decode(k, v, g.grant); g.damaged == nil &&
				(!ok || g.grant.GetSessionId() != sid) {
				return true, nil
			}
			more, err = f(g)
			return more, err
		})
		return more, err
	})
}

// reduceBatch bounds the grants that one transaction examines for used grants kept whole by an earlier
// release.
const reduceBatch = 256

// usedTypes are the types of grants that can be used, as key prefixes in order.
var usedTypes = [][]byte{layout.TypePrefix(grantstore.AuthorizationCode),
	layout.TypePrefix(grantstore.RefreshToken)}

// reduceUsed continues to reduce used grants kept whole by an earlier release. It returns how many grants it
// has examined, at most limit, or 0 when it is done.
func reduceUsed(t *kv.Tx, limit int, now time.Time) (n int, err error) {
	var found []grantstore.Ref
	n, _, err = walkGrants(t, layout.MakeSmallKey, usedTypes, func(n int) bool { return n == limit },
		func(ref grantstore.Ref, g *records.Grant) error {
			if rules.LegacyUsed(g) {
				found = append(found, ref)
			}
			return nil
		})
	if err != nil {
		return n, err
	}
	for _, ref := range found { // after the walk, which reads these rows
		g, err := grantrows.Load(t, ref)
		if err == nil {
			err = putGrant(t, ref, g, rules.Reduce(g, now))
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
