package badger

// The migration of stores in which each grant has its own listings.

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// Before, during and after its migration, which another start continues, a store of format 3 is consistent
// and lists each grant once.
func TestMigrationOfListings(t *testing.T) {
	t.Parallel()
	const families = maxRemoveListings*3/2 + 7
	path, noSync := t.TempDir(), false
	settings := Settings{Path: path, Sync: &noSync, MinFreeMiB: 1}
	open := func(openAs func() (*Engine, error), when string) *Engine {
		e, err := openAs()
		if err != nil {
			t.Fatal(err)
		}
		checkStore(t, e)
		mustList(t, e, when, 2*families)
		return e
	}
	changed := func() (*Engine, error) { return Open(t.Context(), settings, slog.New(slog.DiscardHandler)) }
	e, err := changed()
	if err != nil {
		t.Fatal(err)
	}
	for i := range families {
		batch := &grantstore.Batch{OperationID: fmt.Sprint("issue", i)}
		for _, kind := range []grantstore.Type{grantstore.RefreshToken, grantstore.ReferenceToken} {
			g := familyGrant(kind, fmt.Sprint(i))
			g.RequestID, g.Created = fmt.Sprint("family", i), base.Add(time.Duration(i/3))
			batch.Store = append(batch.Store, g)
		}
		rowsOf(t, e, batch)
	}
	listings(t, e, func(tx *kv.Tx, companion bool, entries []layout.Entry) {
		if companion {
			replaceEntries(tx, nil, entries)
		}
	})
	reopened := func(openAs func() (*Engine, error), when string) {
		t.Helper()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = open(openAs, when)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	m, err := folder.ReadMarker(path)
	if err != nil {
		t.Fatal(err)
	}
	m.Format = 3
	if err := m.Write(path); err != nil {
		t.Fatal(err)
	}
	e = open(func() (*Engine, error) {
		return OpenReadOnly(t.Context(), settings, slog.New(slog.DiscardHandler))
	}, "read-only")
	reopened(changed, "migrated")
	listings(t, e, func(tx *kv.Tx, companion bool, entries []layout.Entry) {
		for _, entry := range entries {
			if there, err := tx.Get(entry.Key); err != nil || (there == nil) != companion {
				t.Errorf("companion %t: has an entry %t, %v", companion, there != nil, err)
			}
		}
	})

	// Repeated with an interruption.
	listings(t, e, func(tx *kv.Tx, companion bool, entries []layout.Entry) {
		replaceEntries(tx, nil, entries)
		tx.Put(layout.UnlistKey, nil)
	})
	err = e.update(t.Context(), func(tx *kv.Tx) error {
		_, done, err := removeSomeListings(tx, maxRemoveListings)
		if done {
			t.Error("migrated in one step, want several")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checkStore(t, e)
	mustList(t, e, "in the middle", 2*families)
	reopened(changed, "gone on with")
	if left := row(t, e, layout.UnlistKey); left != nil {
		t.Errorf("the migration is at %q, want it complete", left)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// listings calls f with the listing entries of each grant.
func listings(
	t *testing.T, e *Engine, f func(tx *kv.Tx, companion bool, entries []layout.Entry),
) {
	t.Helper()
	page, err := e.Grants().Query(t.Context(), grantstore.Query{Count: 1000}, base)
	for err == nil {
		err = e.update(t.Context(), func(tx *kv.Tx) error {
			for i := range page.Grants {
				ref := page.Grants[i].Ref
				g, err := grantrows.Load(tx, ref)
				if err != nil {
					return err
				}
				f(tx, ref.Type == grantstore.ReferenceToken, layout.GrantListings(ref, g))
			}
			return nil
		})
		if err != nil || !page.HasNext {
			break
		}
		page, err = e.Grants().Query(t.Context(),
			grantstore.Query{Count: 1000, ResultsToken: page.ResultsToken}, base)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mustList fails the test unless that many grants are listed, each once.
func mustList(t *testing.T, e *Engine, when string, want int) {
	t.Helper()
	seen := map[grantstore.Ref]bool{}
	query := grantstore.Query{Count: 100}
	for {
		page, err := e.Grants().Query(t.Context(), query, base)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Grants {
			if ref := page.Grants[i].Ref; seen[ref] {
				t.Errorf("%s: a %s is listed twice", when, ref.Type)
			} else {
				seen[ref] = true
			}
		}
		if query.ResultsToken = page.ResultsToken; !page.HasNext {
			break
		}
	}
	if len(seen) != want {
		t.Errorf("%s: %d grants are listed, want %d", when, len(seen), want)
	}
}
