package badger

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Ids of the records in which a row is damaged.
const fuzzSID, fuzzSubject, fuzzClient = "sid", "ann", "client"

var (
	fuzzToken = grantstore.Ref{Type: grantstore.ReferenceToken,
		Key: ticketstore.KeyOf(fuzzSID + "-" + fuzzClient + "-0")}
	fuzzRefresh = grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf("refresh")}
)

// FuzzStoredRecords: with any contents of a row, calls that depend on it return an answer or an error, and
// the other rows can be read.
func FuzzStoredRecords(f *testing.F) {
	seedRecords(f)
	f.Fuzz(func(t *testing.T, table byte, known bool, suffix, value []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		e := inMemory(t)
		signIn(t, e, fuzzSID, fuzzSubject)
		issue(t, e, fuzzSID, fuzzSubject, fuzzClient, 1)
		issueRefresh(t, e)
		signIn(t, e, "other", "bob")
		endWithNotification(t, e)
		where := layout.Tables[int(table)%len(layout.Tables)].Prefix
		damaged := layout.Key(where, suffix)
		if known {
			damaged = firstOf(t, e, where, damaged)
		}
		// Bypasses the metadata of the committer.
		if err := e.db.Damage(ctx, func(txn *badger.Txn) error {
			return txn.Set(damaged, value)
		}); err != nil {
			t.Skip("the database does not accept the key")
		}
		useEverything(ctx, e)
		if err := ctx.Err(); err != nil {
			t.Fatalf("the engine hangs on row %q with %x", damaged, value)
		}
		if _, err := e.Describe(ctx); err != nil {
			t.Fatalf("after row %q with %x: %v", damaged, value, err)
		}
	})
}

// firstOf returns the key of a row of the table, or otherwise.
func firstOf(t *testing.T, e *Engine, table, otherwise []byte) []byte {
	t.Helper()
	found := otherwise
	err := e.db.View(t.Context(), func(r *kv.Snapshot) error {
		return r.Scan(table, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
			found = k
			return false, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// issueRefresh adds a refresh token to the family that issue has created.
func issueRefresh(t *testing.T, e *Engine) {
	t.Helper()
	_, err := e.Grants().Apply(t.Context(), &grantstore.Batch{OperationID: "refresh",
		Store: []grantstore.Grant{{
			Ref: fuzzRefresh, RequestID: fuzzSID + "-" + fuzzClient + "-0", SubjectID: fuzzSubject,
			SessionID: fuzzSID, ClientID: fuzzClient,
			Created: base, Offline: true,
		}}}, base)
	if err != nil {
		t.Fatal(err)
	}
}

// endWithNotification leaves an ended session with a notification in the queue.
func endWithNotification(t *testing.T, e *Engine) {
	t.Helper()
	signIn(t, e, "ended", "cid")
	issue(t, e, "ended", "cid", fuzzClient, 1)
	_, err := e.Logout().End(t.Context(), &logout.Ending{OperationID: "ended", SessionID: "ended",
		Reason: logout.Terminated, KeepTokens: true}, base)
	if err != nil {
		t.Fatal(err)
	}
}

// inMemory opens an engine on a database that is small and quick to open.
func inMemory(t *testing.T) *Engine {
	t.Helper()
	o := badger.DefaultOptions("").WithInMemory(true).WithLogger(nil).WithDetectConflicts(false).
		WithNumVersionsToKeep(1).
		WithMemTableSize(2 << 20).WithBaseTableSize(1 << 20).WithValueThreshold(64 << 10).
		WithCompression(options.None).WithBlockCacheSize(0).WithNumCompactors(2)
	db, err := badger.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	over, err := kv.OpenOver(t.Context(), db, logger)
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(over, logger)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// useEverything makes all calls of a host; errors are answers too.
func useEverything(ctx context.Context, e *Engine) {
	later := base.Add(48 * time.Hour)
	cookie := ticketstore.KeyOf(fuzzSID)
	tickets, grants, logouts := e.Tickets(), e.Grants(), e.Logout()
	for i, now := range []time.Time{base, later} {
		_, _ = tickets.Get(ctx, cookie)
		_, _ = tickets.Find(ctx, fuzzSID)
		for _, filter := range []ticketstore.SessionFilter{{}, {SubjectID: fuzzSubject},
			{ClientID: fuzzClient}, {DisplayName: "a"}, {SessionID: fuzzSID}} {
			_, _ = tickets.Query(ctx, ticketstore.SessionQuery{Filter: filter, Count: 2})
		}
		_, _ = tickets.Renew(ctx, ticketstore.Renewal{Key: cookie, Expires: now.Add(time.Hour), Version: 1},
			now)
		_, _ = tickets.Rekey(ctx, ticketstore.Rekey{Key: cookie, Version: 2,
			NewKey: ticketstore.KeyOf("next"), Expires: now.Add(time.Hour)}, now)
		_, _ = grants.Get(ctx, fuzzToken, now)
		_, _ = grants.Get(ctx, fuzzRefresh, now)
		for _, filter := range []grantstore.Filter{{}, {SubjectID: fuzzSubject}, {SessionID: fuzzSID},
			{ClientID: fuzzClient}} {
			_, _ = grants.Query(ctx, grantstore.Query{Filter: filter, Count: 2}, now)
		}
		_, _ = grants.Apply(ctx, &grantstore.Batch{
			OperationID: fmt.Sprint("op", i), Consume: &grantstore.Consumption{Ref: fuzzRefresh},
			Use: &grantstore.Use{SessionID: fuzzSID, ClientID: fuzzClient, Notify: true},
		}, now)
		_, _ = grants.Apply(ctx, &grantstore.Batch{
			OperationID: fmt.Sprint("revoke",
				i), Revoke: []grantstore.Revocation{{RequestID: fuzzSID + "-" + fuzzClient + "-0"}},
		}, now)
		for _, ending := range []logout.Ending{
			{OperationID: "dry", SubjectID: fuzzSubject, DryRun: true},
			{OperationID: fmt.Sprint("keep", i), SessionID: fuzzSID, KeepSession: true},
			{OperationID: fmt.Sprint("one", i), SessionID: fuzzSID},
			{OperationID: fmt.Sprint("all", i), SubjectID: fuzzSubject},
		} {
			ending.Reason = logout.Terminated
			_, _ = logouts.End(ctx, &ending, now)
		}
		_, _ = logouts.EndDue(ctx, logout.Sweep{Limit: 10}, now)
		claimed, err := logouts.Claim(ctx, logout.Claim{Limit: 5, PerClient: 1, Lease: time.Minute}, now)
		if err == nil {
			for _, work := range claimed.Deliveries {
				_, _ = logouts.Retry(ctx, logout.Retry{ID: work.ID}, now)
				_ = logouts.Settle(ctx, work.ID, work.Claim, logout.Outcome{State: logout.Delivered}, now)
			}
		}
		_, _ = logouts.Notifications(ctx, logout.NotificationQuery{Count: 2})
		_, _ = logouts.Notifications(ctx,
			logout.NotificationQuery{Filter: logout.NotificationFilter{SessionID: fuzzSID}, Count: 2})
		_, _ = grants.Purge(ctx, 10, now)
	}
	_ = e.resume(ctx)
	_ = e.db.View(ctx, func(r *kv.Snapshot) error {
		_, err := kv.CountContents(ctx, r)
		return err
	})
	_ = e.db.Look(ctx, func(r *kv.Snapshot) error {
		_, _ = kv.LoadLedger(r)
		_, _, err := kv.LoadContents(r)
		return err
	})
}

// seedRecords adds a message of each table, complete and truncated, and malformed keys.
func seedRecords(f *testing.F) {
	f.Helper()
	messages := []proto.Message{
		&records.Session{SessionId: fuzzSID, SubjectId: "someone else", Created: 1, Expires: -1,
			IndexedDue: 7},
		&records.ClientUse{FirstUsed: 1, TokenNumber: 1 << 63},
		&records.Ended{SubjectId: fuzzSubject, Clients: []*records.EndedClient{nil, {}}},
		&records.Grant{RequestId: "r", SessionId: "nobody's", Expires: 1},
		&recordpb.Family{Members: [][]byte{nil, {1}, make([]byte, records.RefLength)}},
		&records.Notification{ClientId: fuzzClient, State: "lost", Due: 1, PurgeAt: -1},
	}
	for table := range layout.Tables {
		raw, err := proto.Marshal(messages[table%len(messages)])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(table), true, []byte(nil), raw)
		f.Add(byte(table), false, []byte("client\x00short"), raw[:len(raw)/2])
		f.Add(byte(table), false, []byte{}, []byte{0xff})
	}
}
