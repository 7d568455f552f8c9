package badger

// Used grants: kept whole for the grace, then reduced to what detects their reuse.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// A used grant is kept until it expires, so that its reuse is noticed: a client that refreshes every hour
// for a month leaves 720 of them. What that needs takes at most 250 bytes, indexes included, where ids are
// as long as fosite's. The rest goes with the use, or with its grace.

// usedOf calls f for the used grants of a session, until it returns false. Entries that lead to nothing are
// passed over.
func usedOf(r kv.Reader, sid string, f func(g *storedGrant) (bool, error)) error {
	prefix := layout.UsedPrefix(sid)
	return r.Scan(prefix, nil, false, func(entry []byte, _ func() ([]byte, error)) (goOn bool, err error) {
		goOn = true
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
			goOn, err = f(g)
			return goOn, err
		})
		return goOn, err
	})
}

// shrinkUsed takes what is not needed any more from a used grant.
func shrinkUsed(t *kv.Tx, ref grantstore.Ref, g *records.Grant, now time.Time) error {
	return putGrant(t, ref, g, rules.Reduce(g, now))
}

// maxMakeSmall bounds the grants that one transaction looks at for used ones that a release before kept
// whole.
const maxMakeSmall = 256

// usedTypes are the types of which there are used ones, as parts of keys in their order.
var usedTypes = [][]byte{layout.TypePrefix(grantstore.AuthorizationCode),
	layout.TypePrefix(grantstore.RefreshToken)}

// makeSmall goes on making used grants small that a release before kept whole, and returns how many it has
// looked at, at most limit: 0 when all are.
func makeSmall(t *kv.Tx, limit int, now time.Time) (n int, err error) {
	var found []grantstore.Ref
	n, _, err = walkGrants(t, layout.MakeSmallKey, usedTypes, func(n int) bool { return n == limit },
		func(ref grantstore.Ref, g *records.Grant) error {
			if rules.Former(g) {
				found = append(found, ref)
			}
			return nil
		})
	if err != nil {
		return n, err
	}
	for _, ref := range found { // behind the walk, whose rows these are
		if err := makeOneSmall(t, ref, now); err != nil {
			return n, err
		}
	}
	return n, nil
}

func makeOneSmall(t *kv.Tx, ref grantstore.Ref, now time.Time) error {
	g, err := grantrows.Load(t, ref)
	if err != nil {
		return err
	}
	return shrinkUsed(t, ref, g, now)
}
