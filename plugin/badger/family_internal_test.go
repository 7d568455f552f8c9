package badger

// The rows that flows write, also in a large token family.

import (
	"fmt"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// What a grace lets grow is bounded, and so is the time that a reuse takes in the committer: see the suite
// for the bound itself.
func TestConsumptionWritesOnlyItsOwnRows(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	refresh := familyGrant(grantstore.RefreshToken, "first")
	rowsOf(t, e, &grantstore.Batch{OperationID: "issue",
		Store: []grantstore.Grant{refresh, familyGrant(grantstore.ReferenceToken, "access")}})
	var last grantstore.Grant
	var first, most int
	for i := range grantstore.MaxLines {
		last = familyGrant(grantstore.RefreshToken, fmt.Sprint("refresh", i))
		batch := &grantstore.Batch{
			OperationID: fmt.Sprint("use", i), Consume: &grantstore.Consumption{Ref: refresh.Ref,
				Grace: time.Hour},
			Store: []grantstore.Grant{last, familyGrant(grantstore.ReferenceToken, fmt.Sprint("access", i))},
		}
		wrote := rowsOf(t, e, batch)
		if i == 0 {
			first = wrote
		}
		most = max(most, wrote)
	}
	if wrote := rowsOf(t, e, &grantstore.Batch{
		OperationID: "rotate", Consume: &grantstore.Consumption{Ref: last.Ref},
		Store: []grantstore.Grant{familyGrant(grantstore.RefreshToken, "next"),
			familyGrant(grantstore.ReferenceToken, "its access")},
	}); wrote > first || most > first {
		t.Errorf("the first use wrote %d rows, a repeat at most %d, rotation in a full family %d", first,
			most, wrote)
	}
}

// rowsOf applies a batch and returns the number of rows written.
func rowsOf(t *testing.T, e *Engine, batch *grantstore.Batch) (wrote int) {
	t.Helper()
	var refused error
	err := e.update(t.Context(), func(tx *kv.Tx) (err error) {
		_, refused, err = applyBatch(tx, batch, base)
		wrote = tx.KeysWritten()
		return err
	})
	if err != nil || refused != nil {
		t.Fatal(err, refused)
	}
	return wrote
}

func familyGrant(t grantstore.Type, handle string) grantstore.Grant {
	return grantstore.Grant{
		Ref: grantstore.Ref{Type: t, Key: ticketstore.KeyOf(handle)}, RequestID: "family", SubjectID: "ann",
		ClientID: "app",
		Created:  base, Expires: base.Add(time.Hour), Data: []byte("sealed"),
	}
}

// Each key is written to the log, to the memory table and to tables: their number is the cost of a flow,
// besides the row shared by the operations of a transaction (operations_internal_test.go).
func TestKeysThatFlowsWrite(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	signIn(t, e, "sid", "ann")
	grant := func(t grantstore.Type, handle string, lifetime time.Duration) grantstore.Grant {
		g := familyGrant(t, handle)
		g.SessionID, g.Expires, g.Offline = "sid", base.Add(lifetime), true
		return g
	}
	code := grant(grantstore.AuthorizationCode, "code", time.Minute)
	use := &grantstore.Use{SessionID: "sid", ClientID: "app"}
	first := grant(grantstore.RefreshToken, "refresh", 24*time.Hour)
	for _, flow := range []struct {
		name  string
		batch *grantstore.Batch
		keys  int
	}{
		{"authorize", &grantstore.Batch{Use: use, Store: []grantstore.Grant{
			code, grant(grantstore.OpenIDRequest, "code", time.Minute),
		}}, 13},
		{"exchange", &grantstore.Batch{
			Use: use, Consume: &grantstore.Consumption{Ref: code.Ref}, Store: []grantstore.Grant{
				grant(grantstore.ReferenceToken, "access", time.Hour), first,
			},
		}, 19},
		{"refresh", &grantstore.Batch{
			Consume: &grantstore.Consumption{Ref: first.Ref}, Store: []grantstore.Grant{
				grant(grantstore.ReferenceToken, "next access", time.Hour),
				grant(grantstore.RefreshToken, "next refresh", 24*time.Hour),
			},
		}, 19},
	} {
		flow.batch.OperationID = flow.name
		if keys := rowsOf(t, e, flow.batch); keys != flow.keys {
			t.Errorf("%s writes %d keys, want %d", flow.name, keys, flow.keys)
		}
	}
}
