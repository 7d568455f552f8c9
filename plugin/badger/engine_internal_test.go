package badger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var base = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func openAt(t *testing.T, path string) *Engine {
	t.Helper()
	noSync := false // syncs are slow, and no test here loses power
	e, err := Open(t.Context(), Settings{Path: path, Sync: &noSync}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func signIn(t *testing.T, e *Engine, sid, subject string) {
	t.Helper()
	if err := e.Tickets().Create(t.Context(), anHour(sid, subject)); err != nil {
		t.Fatalf("create %s: %v", sid, err)
	}
}

// anHour returns a session that expires an hour after base.
func anHour(sid, subject string) *ticketstore.Session {
	return &ticketstore.Session{
		Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: subject, Issuer: "https://op.example",
		AuthTime: base, Created: base, Renewed: base, Expires: base.Add(time.Hour),
	}
}

func issue(t *testing.T, e *Engine, sid, subject, client string, n int) {
	t.Helper()
	for i := range n {
		handle := fmt.Sprintf("%s-%s-%d", sid, client, i)
		b := &grantstore.Batch{
			OperationID: handle,
			Use:         &grantstore.Use{SessionID: sid, ClientID: client, Notify: true},
			Store: []grantstore.Grant{{
				Ref:       grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf(handle)},
				RequestID: handle, SubjectID: subject, SessionID: sid, ClientID: client, Created: base,
				Expires: base.Add(time.Hour),
			}},
		}
		if _, err := e.Grants().Apply(t.Context(), b, base); err != nil {
			t.Fatalf("issue %s: %v", handle, err)
		}
	}
}

// A failed change does not affect others in the same transaction.
func TestChangesFailIndividually(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	boom := errors.New("boom")
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			err := e.update(t.Context(), func(tx *kv.Tx) error {
				tx.Put(layout.Key([]byte("T"), fmt.Appendf(nil, "%03d", i)), []byte("x"))
				if i%3 == 0 {
					return boom
				}
				return nil
			})
			if i%3 == 0 != errors.Is(err, boom) || (i%3 != 0 && err != nil) {
				t.Errorf("change %d: error %v", i, err)
			}
		})
	}
	group.Wait()
	_ = e.db.View(t.Context(), func(r *kv.Snapshot) error {
		for i := range 200 {
			value, err := r.Get(layout.Key([]byte("T"), fmt.Appendf(nil, "%03d", i)))
			if err != nil || (value != nil) != (i%3 != 0) {
				t.Errorf("change %d: stored %t, error %v", i, value != nil, err)
			}
		}
		return nil
	})
}

// A removal interrupted by a crash after its job was written is completed at the next start.
func TestInterruptedRemovalIsResumed(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	e := openAt(t, path)
	for i := range 5 {
		sid := fmt.Sprintf("sid%d", i)
		signIn(t, e, sid, "ann")
		issue(t, e, sid, "ann", "app", 3)
	}
	signIn(t, e, "other", "bob")
	ending := &logout.Ending{OperationID: "op", SubjectID: "ann", Reason: logout.Terminated}
	interruptJob(t, e, ending, base)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openAt(t, path)
	// The repeated operation joins the resumed one, or gets its answer.
	result, err := e.Logout().End(t.Context(), ending, base)
	if err != nil {
		t.Fatal(err)
	}
	if result.SessionsRemoved != 5 || result.GrantsRevoked != 15 || result.NotificationsQueued != 5 {
		t.Errorf("result %+v, want 5 sessions, 15 grants, 5 notifications", *result)
	}
	if _, err := e.Tickets().Find(t.Context(), "other"); err != nil {
		t.Errorf("another subject's session: %v", err)
	}
}

// A session with more grants than fit into a transaction ends at once; its grants are purged afterwards.
func TestRemovalCountsAllGrants(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	signIn(t, e, "sid", "ann")
	const many = 3*maxInline + 7
	issue(t, e, "sid", "ann", "app", many)
	for _, dry := range []bool{true, false} {
		result, err := e.Logout().End(t.Context(),
			&logout.Ending{OperationID: "op", SessionID: "sid", Reason: logout.Terminated, DryRun: dry}, base)
		if err != nil {
			t.Fatal(err)
		}
		if result.SessionsRemoved != 1 || result.GrantsRevoked != many || result.NotificationsQueued != 1 {
			t.Errorf("dry run %t: result %+v, want 1 session, %d grants, 1 notification", dry, *result, many)
		}
	}
	_ = e.db.View(t.Context(), func(r *kv.Snapshot) error {
		for _, table := range [][]byte{layout.TableGrant, layout.TableFamily, layout.IndexGrantAll,
			layout.IndexGrantSession, layout.IndexGrantSubject, layout.IndexGrantClient,
			layout.IndexGrantDue} {
			if left, err := kv.FirstKey(r, table, table); left != nil || err != nil {
				t.Errorf("table %q still has rows (error %v)", table, err)
			}
		}
		return nil
	})
}

func TestCallsAfterCloseAreUnavailable(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	signIn(t, e, "sid", "ann")
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	if _, err := e.Tickets().Find(t.Context(), "sid"); !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("read: %v, want ErrUnavailable", err)
	}
	_, err := e.Logout().End(t.Context(), &logout.Ending{OperationID: "op", SessionID: "sid",
		Reason: logout.Terminated}, base)
	if !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("write: %v, want ErrUnavailable", err)
	}
}

func TestCanceledCall(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Tickets().Find(ctx, "sid"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled read: %v, want context.Canceled", err)
	}
}

// Calls canceled under load: nothing writes to a call's variables after it has returned (for the race
// detector), and its change was applied as a whole or not at all.
func TestCanceledCallsUnderLoad(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%20)*100*time.Microsecond)
			defer cancel()
			sid := fmt.Sprintf("sid%d", i)
			var seen string
			err := e.update(ctx, func(tx *kv.Tx) error {
				seen = sid
				tx.Put(layout.Key([]byte("T"), []byte(sid)), []byte(sid))
				return nil
			})
			if (err == nil) != (seen == sid) {
				t.Errorf("change %d: error %v, but applied %t", i, err, seen == sid)
			}
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("change %d: error %v, want the context's", i, err)
			}
		})
	}
	group.Wait()
}
