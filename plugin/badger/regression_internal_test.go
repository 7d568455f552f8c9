package badger

// Regression tests.

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A sign-out narrowed to one client keeps all tokens of the others, offline or not.
func TestNarrowedSignOutLeavesOtherClientsAlone(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	signIn(t, e, "sid", "ann")
	issue(t, e, "sid", "ann", "mail", 1)
	issue(t, e, "sid", "ann", "wiki", 1)
	_, err := e.Logout().End(t.Context(), &logout.Ending{OperationID: "op", SessionID: "sid",
		Reason: logout.UserLogout, ClientIDs: []string{"mail"}, KeepOffline: true}, base)
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Grants().Get(t.Context(), grantstore.Ref{Type: grantstore.ReferenceToken,
		Key: ticketstore.KeyOf("sid-wiki-0")}, base)
	if err != nil {
		t.Errorf("token of another client: %v", err)
	}
}

// A resumed removal that keeps the sessions notifies no client twice, and keeps tokens issued meanwhile.
func TestResumedRemovalNotifiesOnce(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	e := openAt(t, path)
	for i := range 2 {
		sid := fmt.Sprintf("sid%d", i)
		signIn(t, e, sid, "ann")
		issue(t, e, sid, "ann", "app", 1)
	}
	ending := &logout.Ending{OperationID: "op", SubjectID: "ann", Reason: logout.Terminated,
		KeepSession: true}
	interruptJob(t, e, ending, base)
	// the first session is done, then the plugin is killed
	err := e.update(t.Context(), func(tx *kv.Tx) error {
		job, err := loadJob(tx, "op")
		if err != nil {
			return err
		}
		c := e.closing(tx, ending, base)
		if err := c.run("sid0"); err != nil {
			return err
		}
		rules.Progress(job, &c.Result)
		job.Cursor = layout.SessionPosition(nil, nil, &records.Session{SessionId: "sid0",
			Created: records.Nanos(base)})
		return saveJob(tx, "op", job)
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = e.Close()
	e = openAt(t, path)
	after := issueOne(t, e, "sid0", "after")
	r, err := e.Logout().End(t.Context(), ending, base)
	if err != nil {
		t.Fatal(err)
	}
	page, _ := e.Logout().Notifications(t.Context(), logout.NotificationQuery{})
	if r.NotificationsQueued != 2 || len(page.Notifications) != 2 {
		t.Errorf("answer %+v, %d notifications, want 2 and 2", *r, len(page.Notifications))
	}
	if _, err := e.Grants().Get(t.Context(), after, base); err != nil {
		t.Errorf("a token issued meanwhile: %v, want it live", err)
	}
}

// interruptJob stores a job as a plugin that is killed at its beginning.
func interruptJob(t *testing.T, e *Engine, ending *logout.Ending, now time.Time) {
	t.Helper()
	err := e.update(t.Context(), func(tx *kv.Tx) error {
		job, err := newJob(tx, ending, now)
		if err != nil {
			return err
		}
		return saveJob(tx, ending.OperationID, job)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A resumed removal does not end sessions that began after the interruption.
func TestResumedRemovalKeepsLaterSessions(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	e := openAt(t, path)
	ending := &logout.Ending{OperationID: "op", SubjectID: "ann", Reason: logout.Terminated}
	interruptJob(t, e, ending, base.Add(-48*time.Hour))
	signIn(t, e, "sid", "ann") // two days later
	issue(t, e, "sid", "ann", "app", 1)
	_ = e.Close()
	e = openAt(t, path)
	if _, err := e.Logout().End(t.Context(), ending, base); err != nil { // joins the resumed one
		t.Fatal(err)
	}
	if _, err := e.Tickets().Find(t.Context(), "sid"); err != nil {
		t.Errorf("session that began after the removal: %v", err)
	}
}

// A call with a canceled context ends nothing.
func TestEndWithCanceledContext(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	e := openAt(t, path)
	signIn(t, e, "sid", "ann")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.Logout().End(ctx, &logout.Ending{OperationID: "op", SessionID: "sid",
		Reason: logout.Terminated}, base)
	_ = e.Close() // completes running work
	e = openAt(t, path)
	_, gone := e.Tickets().Find(t.Context(), "sid")
	if gone != nil {
		t.Errorf("a call with a canceled context (%v) ended the session: %v", err, gone)
	}
}

// A filter by a time before every storable time has no effect.
func TestFilterBeforeStorableTimes(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	signIn(t, e, "sid", "ann")
	p, err := e.Tickets().Query(t.Context(),
		ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{CreatedFrom: time.Date(1600, 1, 1, 0, 0, 0,
			0, time.UTC)}})
	if err != nil || len(p.Sessions) != 1 {
		t.Errorf("%v %v", p, err)
	}
}

// Without a client, the grant would be counted for all clients.
func TestGrantOfASessionNeedsAClient(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	signIn(t, e, "sid", "ann")
	_, err := e.Grants().Apply(t.Context(), &grantstore.Batch{OperationID: "x", Store: []grantstore.Grant{{
		Ref: grantstore.Ref{Type: grantstore.ReferenceToken,
			Key: ticketstore.KeyOf("x")}, SubjectID: "ann", SessionID: "sid", Created: base}}}, base)
	p, _ := e.Tickets().Query(t.Context(), ticketstore.SessionQuery{})
	if p.TotalCount != 1 {
		t.Errorf("store answered %v, TotalCount %d, want 1", err, p.TotalCount)
	}
}

// The first moment of 1970 is a valid time.
func TestEpochIsAValidTime(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	_, err := e.Grants().Apply(t.Context(), &grantstore.Batch{OperationID: "x", Store: []grantstore.Grant{{
		Ref: grantstore.Ref{Type: grantstore.ReferenceToken,
			Key: ticketstore.KeyOf("x")}, SubjectID: "ann", Created: base, Expires: time.Unix(0, 0)}}}, base)
	_, err2 := e.Grants().Get(t.Context(), grantstore.Ref{Type: grantstore.ReferenceToken,
		Key: ticketstore.KeyOf("x")}, base)
	if err2 == nil {
		t.Errorf("a grant that expired in 1970 is live (%v)", err)
	}
}

// The reuse of a code is detected although its session has ended and the batch records a use of the client.
func TestReusedCodeRevokesItsFamilyAfterTheSession(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	signIn(t, e, "sid", "ann")
	g := func(k grantstore.Type, h string) grantstore.Grant {
		return grantstore.Grant{Ref: grantstore.Ref{Type: k, Key: ticketstore.KeyOf(h)}, RequestID: "f",
			SubjectID: "ann", SessionID: "sid", ClientID: "app", Offline: true, Created: base}
	}
	apply := func(b *grantstore.Batch) error { _, err := e.Grants().Apply(t.Context(), b, base); return err }
	use := &grantstore.Use{SessionID: "sid", ClientID: "app"}
	code, refresh := g(grantstore.AuthorizationCode, "c"), g(grantstore.RefreshToken, "r")
	if err := errors.Join(apply(&grantstore.Batch{OperationID: "1", Use: use,
		Store: []grantstore.Grant{code}}),
		apply(&grantstore.Batch{OperationID: "2", Use: use, Consume: &grantstore.Consumption{Ref: code.Ref},
			Store: []grantstore.Grant{refresh}})); err != nil {
		t.Fatal(err)
	}
	_, err := e.Logout().End(t.Context(), &logout.Ending{OperationID: "3", SessionID: "sid",
		Reason: logout.UserLogout, KeepOffline: true}, base)
	if err != nil {
		t.Fatal(err)
	}
	err = apply(&grantstore.Batch{OperationID: "4", Use: use,
		Consume: &grantstore.Consumption{Ref: code.Ref}})
	if _, live := e.Grants().Get(t.Context(), refresh.Ref, base); live == nil {
		t.Errorf("reuse of a code: %v, and a token of its family is live", err)
	}
}

func issueOne(t *testing.T, e *Engine, sid, handle string) grantstore.Ref {
	t.Helper()
	ref := grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf(handle)}
	_, err := e.Grants().Apply(t.Context(), &grantstore.Batch{OperationID: handle, Store: []grantstore.Grant{{
		Ref: ref, RequestID: handle, SubjectID: "ann", SessionID: sid, ClientID: "app", Created: base,
		Expires: base.Add(time.Hour),
	}}}, base)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// A sweep also removes the dead grants that exceed the transaction of a session's end, before it returns.
func TestSweepLeavesNoRows(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	signIn(t, e, "sid", "ann")
	issue(t, e, "sid", "ann", "app", maxInline+20)
	swept, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 10}, base.Add(1000*time.Hour))
	if err != nil || swept.Ended != 1 {
		t.Fatalf("swept %+v, %v; want one session ended", swept, err)
	}
	err = e.db.Look(t.Context(), func(r *kv.Snapshot) error {
		left, err := anyToken(r, "sid")
		if err != nil || left {
			t.Errorf("rows of dead grants are left: %t, %v", left, err)
		}
		marked, err := r.Get(layout.PurgeKey("sid"))
		if marked != nil {
			t.Error("the mark of remaining rows was not removed")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Ids of notifications begin with the time of their removal, which a restart does not change: one queued
// after the restart does not replace one queued before.
func TestNotificationIDsAreUnique(t *testing.T) {
	t.Parallel()
	e := inMemory(t)
	for _, sid := range []string{"before", "after"} {
		signIn(t, e, sid, "ann")
		issue(t, e, sid, "ann", "app", 1)
		e.notificationSeq.Store(7)
		if _, err := e.Logout().End(t.Context(), &logout.Ending{OperationID: "end " + sid, SessionID: sid,
			Reason: logout.Terminated}, base); err != nil {
			t.Fatal(err)
		}
	}
	page, err := e.Logout().Notifications(t.Context(), logout.NotificationQuery{})
	if err != nil || len(page.Notifications) != 2 {
		t.Errorf("two ends at one time: %v, %v, want a notification of each", page, err)
	}
}

// A client without sessions has no count: with a registration for each installation of an application, counts
// of former clients would accumulate.
func TestClientWithoutSessionsHasNoCount(t *testing.T) {
	t.Parallel()
	e := inMemory(t)
	counts := func() (n int) {
		t.Helper()
		err := e.db.View(t.Context(), func(r *kv.Snapshot) (err error) {
			n, err = countKeys(r, layout.TableCount, 10)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	signIn(t, e, "sid", "ann")
	issue(t, e, "sid", "ann", "app", 1)
	if n := counts(); n != 2 {
		t.Errorf("%d counts, want those of the sessions and of a client", n)
	}
	if _, err := e.Logout().End(t.Context(), &logout.Ending{OperationID: "end", SessionID: "sid",
		Reason: logout.Terminated}, base); err != nil {
		t.Fatal(err)
	}
	if n := counts(); n != 0 {
		t.Errorf("%d counts after the last session, want none", n)
	}
}
