package badger

// The migration to format 4: companions have no listings of their own.

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
	// maxRemoveListings bounds the grants examined by one transaction.
	maxRemoveListings = 512
	// removeListingsProgress is the interval of progress messages in the log.
	removeListingsProgress = 5 * time.Second
)

// companionTypes are the types of companions, as key prefixes in order.
var companionTypes = [][]byte{layout.TypePrefix(grantstore.OpenIDRequest),
	layout.TypePrefix(grantstore.PKCERequest), layout.TypePrefix(grantstore.ReferenceToken)}

// removeListings removes the listings that companions had up to format 3, before the database serves
// anything, so that no other code has to handle them. Each transaction stores its progress, and a restart
// continues from there.
func (e *Engine) removeListings(ctx context.Context) error {
	began := time.Now()
	looked, said := 0, began
	for done := false; !done; {
		err := e.db.Move(ctx, func(tx *kv.Tx) (err error) {
			var n int
			n, done, err = removeSomeListings(tx, maxRemoveListings)
			looked += n
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate to format %d: %w", layout.Version, err)
		}
		if now := time.Now(); now.Sub(said) >= removeListingsProgress || done && looked > 0 {
			said = now
			e.logger.InfoContext(ctx, "entries of grants are migrated", "format", layout.Version,
				"grants", looked, "done", done, "elapsed", now.Sub(began).Round(time.Millisecond).String())
		}
	}
	return nil
}

// removeSomeListings continues after the previous transaction. It returns how many grants it has examined,
// and whether it is done.
func removeSomeListings(t *kv.Tx, limit int) (n int, done bool, err error) {
	stop := func(n int) bool { return n == limit || n%16 == 15 && t.Full() } // Full is expensive
	return walkGrants(t, layout.UnlistKey, companionTypes, stop,
		func(ref grantstore.Ref, g *records.Grant) error {
			companion, err := grantrows.IsCompanion(t, ref, g)
			if companion {
				replaceEntries(t, layout.GrantListings(ref, g), nil)
			}
			return err
		})
}
