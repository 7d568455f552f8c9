package badger

// Companions of damaged and of imported grants.

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// storedPair stores a refresh token with its access token in a session of ann.
func storedPair(t *testing.T) (e *Engine, refresh, access grantstore.Ref) {
	t.Helper()
	e = inMemory(t)
	signIn(t, e, "sid", "ann")
	batch := &grantstore.Batch{OperationID: "pair"}
	for _, kind := range []grantstore.Type{grantstore.RefreshToken, grantstore.ReferenceToken} {
		g := familyGrant(kind, "handle of "+string(kind))
		g.SessionID = "sid"
		batch.Store = append(batch.Store, g)
	}
	rowsOf(t, e, batch)
	return e, batch.Store[0].Ref, batch.Store[1].Ref
}

// A removal finds an access token although the rows that refer to it are damaged.
func TestRemovalOfCompanionsOfDamagedRows(t *testing.T) {
	t.Parallel()
	for name, damaged := range map[string]func(refresh grantstore.Ref) []byte{
		"the refresh token": layout.GrantKey,
		"the family":        func(grantstore.Ref) []byte { return layout.FamilyKey("family") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, refresh, access := storedPair(t)
			damage(t, e, damaged(refresh))
			for i, kind := range []grantstore.Type{grantstore.RefreshToken, ""} {
				removal := grantstore.Removal{
					OperationID: fmt.Sprint("removal ", i), Limit: 100,
					Filter: grantstore.Filter{SubjectID: "ann", Type: kind},
				}
				if _, err := e.Grants().Remove(t.Context(), removal, base.Add(time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := e.Grants().Get(t.Context(), access, base.Add(time.Second))
			if !errors.Is(err, ticketstore.ErrNotFound) {
				t.Errorf("want the access token removed, got %v", err)
			}
		})
	}
}

// An import may replace a grant by one with different listings.
func TestImportReplacesGrants(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(g *records.Grant){
		"used, as of version 2": func(g *records.Grant) { g.Consumed = records.Nanos(base) },
		"without family":        func(g *records.Grant) { g.RequestId = "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, refresh, _ := storedPair(t)
			err := e.update(t.Context(), func(tx *kv.Tx) error {
				g, err := grantrows.Load(tx, refresh)
				if err != nil {
					return err
				}
				change(g)
				data, err := proto.Marshal(g)
				if err != nil {
					return err
				}
				return importRecord(tx, &transfer.Record{
					Kind: transfer.Grants, Key: records.RefBytes(refresh), Data: data,
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			checkStore(t, e)
		})
	}
}
