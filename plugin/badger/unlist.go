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
	// maxUnlist bounds the grants examined by one transaction.
	maxUnlist = 512
	// unlistProgress is the interval of progress messages in the log.
	unlistProgress = 5 * time.Second
)

// companionTypes are the types of companions, as key prefixes in order.
var companionTypes = [][]byte{layout.TypePrefix(grantstore.OpenIDRequest),
	layout.TypePrefix(grantstore.PKCERequest), layout.TypePrefix(grantstore.ReferenceToken)}

// unlist removes the listings that companions had up to format 3, before the database serves anything, so
// that no other code has to handle them. Each transaction stores its progress, and a restart continues from
// there.
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

// unlistSome continues after the previous transaction. It returns how many grants it has examined, and
// whether it is done.
func unlistSome(t *kv.Tx, limit int) (n int, done bool, err error) {
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
