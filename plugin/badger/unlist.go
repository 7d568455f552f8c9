package badger

// The migration to version 4 of the format: companions have no listings of their own.

import (
	"context"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

const (
	// maxUnlist bounds the grants that one transaction looks at.
	maxUnlist = 512
	// unlistProgress is how often the log says how far it is.
	unlistProgress = 5 * time.Second
)

// companionTypes are the types of companions, as parts of keys in their order.
var companionTypes = [][]byte{layout.TypePrefix(grantstore.OpenIDRequest),
	layout.TypePrefix(grantstore.PKCERequest), layout.TypePrefix(grantstore.ReferenceToken)}

// unlist takes the listings away that companions had up to version 3, before the database serves anything: no
// other change has to know of them. Each transaction notes how far it came, and another start goes on there.
func (e *Engine) unlist(ctx context.Context) error {
	began := time.Now()
	looked, said := 0, began
	for done := false; !done; {
		err := e.db.Move(ctx, func(tx *kv.Tx) (err error) {
			var n int
			n, done, err = unlistSome(tx, maxUnlist)
			looked += n
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate to format %d: %w", layout.Version, err)
		}
		if now := time.Now(); now.Sub(said) >= unlistProgress || done && looked > 0 {
			said = now
			e.logger.InfoContext(ctx, "entries of grants are migrated", "format", layout.Version,
				"grants", looked, "done", done, "elapsed", now.Sub(began).Round(time.Millisecond).String())
		}
	}
	return nil
}

// unlistSome goes on from where the transaction before has stopped. It returns how many grants it has looked
// at, and whether that was the last.
func unlistSome(t *kv.Tx, limit int) (n int, done bool, err error) {
	stop := func(n int) bool { return n == limit || n%16 == 15 && t.Full() } // which it takes long to say
	return walkGrants(t, layout.UnlistKey, companionTypes, stop,
		func(ref grantstore.Ref, g *records.Grant) error {
			companion, err := grantrows.IsCompanion(t, ref, g)
			if companion {
				replaceEntries(t, layout.GrantListings(ref, g), nil)
			}
			return err
		})
}
