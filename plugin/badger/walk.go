package badger

// Walks over grants that continue in the next transaction, for migrations.

import (
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// walkGrants continues the walk whose position is stored under key, over grants of the given types, which are
// key prefixes in order. It calls f for each readable grant until stop, called with the number of grants so
// far, returns true. It stores the new position, or deletes it at the end, and returns the number of grants
// and whether the walk is done.
func walkGrants(
	t *kv.Tx, key []byte, types [][]byte, stop func(n int) bool,
	f func(ref grantstore.Ref, g *records.Grant) error,
) (n int, over bool, err error) {
	place, err := t.Get(key)
	if err != nil || place == nil {
		return 0, true, err
	}
	stopped := false
	for _, prefix := range types {
		table := layout.Key(layout.TableGrant, prefix)
		from := table
		if string(place) > string(prefix) {
			from = layout.Key(layout.TableGrant, place)
		}
		err := t.Scan(table, from, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
			if stopped = stopped || stop(n); stopped {
				return false, nil
			}
			n++
			at := k[len(layout.TableGrant):]
			place = append(at, 0) // after the key
			v, err := value()
			if err != nil {
				return false, err
			}
			g := &records.Grant{}
			ref, ok := records.RefOf(at)
			if err := layout.Decode(k, v, g); err != nil || !ok {
				return true, t.StepOver(err)
			}
			return true, f(ref, g)
		})
		if err != nil {
			return n, false, err
		}
	}
	if stopped {
		t.Put(key, place)
		return n, false, nil
	}
	t.Delete(key)
	return n, true, nil
}
