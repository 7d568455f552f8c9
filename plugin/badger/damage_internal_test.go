package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Reading a damaged row returns an error, never "not found".
func TestDamagedRowsAreReported(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	signIn(t, e, fuzzSID, fuzzSubject)
	issue(t, e, fuzzSID, fuzzSubject, fuzzClient, 1)
	damage(t, e, layout.GrantKey(fuzzToken), layout.SessionKey(fuzzSID))
	_, byKey := e.Tickets().Get(t.Context(), ticketstore.KeyOf(fuzzSID))
	_, byID := e.Tickets().Find(t.Context(), fuzzSID)
	_, grant := e.Grants().Get(t.Context(), fuzzToken, base)
	for call, err := range map[string]error{"Get": byKey, "Find": byID, "Get of a grant": grant} {
		if err == nil || errors.Is(err, ticketstore.ErrNotFound) || errors.Is(err, ticketstore.ErrNotFound) {
			t.Errorf("%s of a damaged row: error %v, want one that names the damage", call, err)
		}
	}
}

// notifyClients ends a session of each client, so that each has a due notification, and returns the
// notifications' ids by client.
func notifyClients(t *testing.T, e *Engine, clients ...string) map[string]string {
	t.Helper()
	for _, client := range clients {
		sid := "sid-" + client
		signIn(t, e, sid, "ann")
		issue(t, e, sid, "ann", client, 1)
		_, err := e.Logout().End(t.Context(), &logout.Ending{OperationID: "end-" + client, SessionID: sid,
			Reason: logout.Terminated}, base.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
	}
	page, err := e.Logout().Notifications(t.Context(), logout.NotificationQuery{})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, n := range page.Notifications {
		ids[n.ClientID] = n.ID
	}
	return ids
}

// claimAll claims until nothing is due, and returns the clients of the notifications.
func claimAll(t *testing.T, e *Engine, now time.Time) (clients []string) {
	t.Helper()
	for range 20 {
		claimed, err := e.Logout().Claim(t.Context(), logout.Claim{Limit: 2, PerClient: 1, Lease: time.Hour},
			now)
		if err != nil {
			t.Fatalf("claim: %v", err)
		}
		for _, work := range claimed.Deliveries {
			clients = append(clients, work.ClientID)
		}
		if claimed.Next.IsZero() || claimed.Next.After(now) {
			slices.Sort(clients)
			return clients
		}
	}
	t.Fatal("work is due after 20 claims: the queue does not advance")
	return nil
}

// A damaged notification, a missing one and a malformed entry do not delay other notifications, and do not
// remain due.
func TestDamagedNotificationsDelayNoDelivery(t *testing.T) {
	t.Parallel()
	e, log := openLogged(t)
	ids := notifyClients(t, e, "a", "b", "c", "d", "e", "f")
	damage(t, e, layout.NotificationKey(ids["a"]), layout.Key(layout.IndexNotificationDue, []byte("no end")),
		layout.Key(layout.IndexNotificationDue, layout.More("e"), []byte{1}))
	err := e.db.Damage(t.Context(), func(txn *badger.Txn) error {
		// a second entry, at a wrong place
		entry := layout.Key(layout.IndexNotificationDue, layout.More("f"),
			layout.TimeKey(records.Nanos(base)),
			layout.Last(ids["f"]))
		return errors.Join(txn.Delete(layout.NotificationKey(ids["c"])), txn.Set(entry, nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	now := base.Add(2 * time.Minute)
	if got, want := claimAll(t, e, now), []string{"b", "d", "e", "f"}; !slices.Equal(got, want) {
		t.Errorf("claimed notifications of %q, want those of %q once each", got, want)
	}
	wantAside(t, e, layout.NotificationKey(ids["a"]))
	wantLogged(t, log, 5)
	wantContents(t, e)
	n := 0
	_ = e.db.View(t.Context(), func(r *kv.Snapshot) (err error) {
		n, err = countKeys(r, layout.IndexNotificationDue, 100)
		return err
	})
	if n != 4 {
		t.Errorf("%d due entries, want 4", n)
	}
}

// A damaged session is ended by its listing when it is due, and its clients are notified. Other sessions end
// too.
func TestDamagedSessionsEndWhenDue(t *testing.T) {
	t.Parallel()
	e, log := openLogged(t)
	for i := range 3 {
		signIn(t, e, fmt.Sprint("sid", i), "ann")
		issue(t, e, fmt.Sprint("sid", i), "ann", "mail", 2)
	}
	issue(t, e, "sid1", "ann", "wiki", 2)
	issue(t, e, "sid2", "ann", "wiki", 2)
	damage(t, e, layout.SessionKey("sid1"), layout.ClientUseKey("sid1", "wiki"),
		layout.ClientUseKey("sid2", "wiki"), layout.GrantKey(grantstore.Ref{
			Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf("sid0-mail-0"),
		}), layout.Key(layout.IndexExpiry, []byte("no"))) // before all others
	later := base.Add(2 * time.Hour)
	swept, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 10}, later)
	if err != nil {
		t.Fatal(err)
	}
	if swept.Ended != 3 || swept.NotificationsQueued != 5 || !swept.Next.IsZero() {
		t.Errorf("swept %+v, want 3 sessions ended, 5 clients notified and none due", swept)
	}
	wantLogged(t, log, 5)
	wantContents(t, e)
	if _, err := e.Grants().Purge(t.Context(), 100, later); err != nil {
		t.Errorf("purge: %v", err)
	}
}

// If too little of a session can be read to end it, its row stays and is not due again.
func TestUnreadableSessionIsNotDueAgain(t *testing.T) {
	t.Parallel()
	e, log := openLogged(t)
	signIn(t, e, "sid", "ann")
	signIn(t, e, "other", "ann")
	listed := layout.SessionPosition(layout.IndexListing, nil,
		&records.Session{SessionId: "sid", Created: records.Nanos(base)})
	damage(t, e, layout.SessionKey("sid"), listed)
	swept, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 10}, base.Add(2*time.Hour))
	if err != nil || swept.Ended != 1 || !swept.Next.IsZero() {
		t.Errorf("swept %+v, %v; want the other one ended and nothing due", swept, err)
	}
	if !bytes.Equal(row(t, e, layout.SessionKey("sid")), damagedValue) {
		t.Error("the damaged row was removed")
	}
	wantLogged(t, log, 1)
	// A removal of its subject succeeds.
	result, err := e.Logout().End(t.Context(), &logout.Ending{OperationID: "op", SubjectID: "ann",
		Reason: logout.Terminated}, base)
	if err != nil || result.SessionsRemoved != 0 {
		t.Errorf("removal of its subject: %+v, %v", result, err)
	}
}

// A removal also ends damaged sessions whose listing can be read.
func TestRemovalEndsDamagedSessions(t *testing.T) {
	t.Parallel()
	for name, ending := range map[string]logout.Ending{
		"by sid": {SessionID: "sid1"}, "by subject": {SubjectID: "ann"}, "of all": {All: true},
		"by sid, kept":     {SessionID: "sid1", KeepSession: true},
		"by subject, kept": {SubjectID: "ann", KeepSession: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := openLogged(t)
			for i := range 3 {
				signIn(t, e, fmt.Sprint("sid", i), "ann")
				issue(t, e, fmt.Sprint("sid", i), "ann", "mail", 2)
			}
			consent := grantstore.Ref{Type: grantstore.UserConsent, Key: ticketstore.KeyOf("consent")}
			outlived := grantstore.Ref{Type: grantstore.ReferenceToken,
				Key: ticketstore.KeyOf("ended-mail-0")}
			endKeepingTokens(t, e, "ended")
			if _, err := e.Grants().Apply(t.Context(),
				&grantstore.Batch{OperationID: "consent", Store: []grantstore.Grant{
					{Ref: consent, SubjectID: "ann", ClientID: "mail", Created: base},
				}}, base); err != nil {
				t.Fatal(err)
			}
			damage(t, e, layout.SessionKey("sid1"), layout.ClientUseKey("sid1", "mail"),
				layout.GrantKey(consent), layout.EndedKey("ended"),
				layout.GrantKey(grantstore.Ref{Type: grantstore.ReferenceToken,
					Key: ticketstore.KeyOf("sid2-mail-1")}))
			ending.OperationID, ending.Reason = "op", logout.Terminated
			dry := ending
			dry.OperationID, dry.DryRun = "dry", true
			want := 3
			if ending.SessionID != "" {
				want = 1
			}
			for _, ending := range []*logout.Ending{&dry, &ending} {
				result, err := e.Logout().End(t.Context(), ending, base)
				if err == nil && ending.All && !ending.DryRun {
					result = &finishedJob(t, e, "op").Result
				}
				removed := want
				if ending.KeepSession {
					removed = 0
				}
				if err != nil || result.SessionsRemoved != removed || result.NotificationsQueued != want {
					t.Errorf("dry run %t: result %+v, error %v; want %d sessions, %d clients notified",
						ending.DryRun, result, err, removed, want)
				}
			}
			for _, ref := range []grantstore.Ref{consent, outlived,
				{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf("sid1-mail-0")}} {
				if _, err := e.Grants().Get(t.Context(), ref, base); err == nil {
					t.Errorf("a grant of type %s is live", ref.Type)
				}
			}
			if !ending.KeepSession { // otherwise the damaged row remains
				wantContents(t, e)
			}
		})
	}
}

// endKeepingTokens ends a session of Ann whose tokens outlive it.
func endKeepingTokens(t *testing.T, e *Engine, sid string) {
	t.Helper()
	signIn(t, e, sid, "ann")
	issue(t, e, sid, "ann", "mail", 1)
	_, err := e.Logout().End(t.Context(),
		&logout.Ending{OperationID: "end-" + sid, SessionID: sid, Reason: logout.Terminated, KeepTokens: true,
			SkipNotification: true}, base)
	if err != nil {
		t.Fatal(err)
	}
}

// Listings return the rows that can be read.
func TestListingsSkipDamagedRows(t *testing.T) {
	t.Parallel()
	e, log := openLogged(t)
	ids := notifyClients(t, e, "a", "b")
	for i := range 3 {
		sid := fmt.Sprint("sid", i)
		signIn(t, e, sid, "ann")
		issue(t, e, sid, "ann", "mail", 1)
	}
	listed := layout.SessionPosition(layout.IndexListing, nil,
		&records.Session{SessionId: "sid0", Created: records.Nanos(base)})
	token := grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf("sid1-mail-0")}
	damage(t, e, layout.SessionKey("sid0"), listed, layout.ClientUseKey("sid2", "mail"),
		layout.NotificationKey(ids["a"]), layout.GrantKey(token))
	for _, filter := range []ticketstore.SessionFilter{{}, {SubjectID: "ann"}, {ClientID: "mail"}} {
		page, err := e.Tickets().Query(t.Context(), ticketstore.SessionQuery{Filter: filter})
		if err != nil || len(page.Sessions) != 2 {
			t.Errorf("sessions %+v: %d of them, error %v; want 2", filter, len(page.Sessions), err)
		}
	}
	both := ticketstore.SessionFilter{SubjectID: "ann", ClientID: "mail"}
	if page, err := e.Tickets().Query(t.Context(),
		ticketstore.SessionQuery{Filter: both}); err != nil || len(page.Sessions) != 1 {
		t.Errorf("sessions of a subject and a client: %d, error %v; want the one whose rows can be read",
			len(page.Sessions), err)
	}
	deliveries, err := e.Logout().Notifications(t.Context(), logout.NotificationQuery{})
	if err != nil || len(deliveries.Notifications) != 1 {
		t.Errorf("notifications: %v, error %v; want one", deliveries, err)
	}
	// Whether the tokens of sid0 and sid2 are live is unknown; that of sid1 cannot be read.
	if page, err := e.Grants().Query(t.Context(), grantstore.Query{},
		base); err != nil || len(page.Grants) != 0 {
		t.Errorf("grants: %v, error %v; want none and no error", page, err)
	}
	if _, err := e.Logout().Retry(t.Context(),
		logout.Retry{Filter: logout.NotificationFilter{State: logout.Pending}, Limit: 10}, base); err != nil {
		t.Errorf("retry of many: %v", err)
	}
	removed, err := e.Grants().Remove(t.Context(),
		grantstore.Removal{OperationID: "r", Filter: grantstore.Filter{SubjectID: "ann"}, Limit: 10}, base)
	if err != nil || removed.Met != 2 {
		t.Errorf("grants removed: %+v, error %v; want the two readable ones met", removed, err)
	}
	if n := strings.Count(log.String(), "damaged row stepped over"); n < 4 {
		t.Errorf("the log names %d damaged rows, want all:\n%s", n, log.String())
	}
}

// A user can sign in although one of the user's sessions is damaged.
func TestSignInDespiteDamagedSession(t *testing.T) {
	t.Parallel()
	e, _ := openLogged(t)
	signIn(t, e, "sid", "ann")
	damage(t, e, layout.SessionKey("sid"))
	s := benchSession(1)
	s.SubjectID = "ann"
	if _, err := e.Tickets().CreateWithin(t.Context(), s, ticketstore.Limit{Max: 1}, base); err != nil {
		t.Errorf("sign-in: %v", err)
	}
}

// Rows that are due are deleted, damaged or not, and damaged ones are set aside.
func TestPurgesSetDamagedRowsAside(t *testing.T) {
	t.Parallel()
	e, log := openLogged(t)
	ids := notifyClients(t, e, "a", "b")
	for range 2 {
		work := e.claimOne(t, base.Add(time.Minute))
		if err := e.Logout().Settle(t.Context(), work.ID, work.Claim, logout.Outcome{State: logout.Delivered},
			base.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	endKeepingTokens(t, e, "ended")
	if _, err := e.Logout().End(t.Context(), &logout.Ending{OperationID: "job", SubjectID: "bob",
		Reason: logout.Terminated}, base); err != nil {
		t.Fatal(err)
	}
	signIn(t, e, "sid", "ann")
	issue(t, e, "sid", "ann", "mail", 3)
	family := []grantstore.Ref{{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf("sid-mail-0")},
		{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf("sid-mail-1")}}
	rows := [][]byte{layout.NotificationKey(ids["a"]), layout.JobKey("job"), layout.GrantKey(family[0])}
	damage(t, e, rows...)
	damage(t, e, layout.FamilyKey("sid-mail-1"), layout.EndedKey("sid-a"))
	later := base.AddDate(1, 0, 0)
	for range 3 {
		if _, err := e.Grants().Purge(t.Context(), 100, later); err != nil {
			t.Errorf("purge of grants: %v", err)
		}
		if _, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 100}, later); err != nil {
			t.Errorf("purge of the rest: %v", err)
		}
	}
	wantAside(t, e, append(rows, layout.EndedKey("sid-a"))...)
	wantLogged(t, log, 5)
	wantContents(t, e)
	_ = e.db.View(t.Context(), func(r *kv.Snapshot) error {
		for _, table := range [][]byte{layout.NotificationKey(ids["b"]), layout.TableJob, layout.TableEnded,
			layout.IndexEndedDue, layout.IndexNotificationPurge, layout.IndexJobAge} {
			k, err := kv.FirstKey(r, table, table)
			// Records of the last sweep are not due yet.
			if err != nil || (k != nil && !bytes.Contains(k, []byte("sid"))) {
				t.Errorf("%q is left (%v)", k, err)
			}
		}
		return nil
	})
}

func (e *Engine) claimOne(t *testing.T, now time.Time) logout.Delivery {
	t.Helper()
	claimed, err := e.Logout().Claim(t.Context(), logout.Claim{Limit: 1, PerClient: 1, Lease: time.Minute},
		now)
	if err != nil || len(claimed.Deliveries) != 1 {
		t.Fatalf("claimed %+v, %v; want one notification", claimed, err)
	}
	return claimed.Deliveries[0]
}

// Overwriting or deleting a damaged row fails neither the change nor others in its transaction.
func TestDamagedRowFailsNoTransaction(t *testing.T) {
	t.Parallel()
	e, _ := openLogged(t)
	ids := notifyClients(t, e, "a", "b")
	signIn(t, e, "sid", "ann")
	damage(t, e, layout.NotificationKey(ids["a"]), layout.NotificationKey(ids["b"]), layout.SessionKey("sid"))
	err := e.update(t.Context(), func(tx *kv.Tx) error {
		tx.Delete(layout.SessionKey("sid"))
		tx.Delete(layout.NotificationKey(ids["a"]))
		return tx.Save(layout.NotificationKey(ids["b"]),
			&records.Notification{ClientId: "b", State: string(logout.Pending)})
	})
	if err != nil {
		t.Fatalf("a change over damaged rows: %v", err)
	}
	wantContents(t, e)
}

// A revocation of a family skips a damaged member.
func TestRevocationSkipsDamagedMember(t *testing.T) {
	t.Parallel()
	e, _ := openLogged(t)
	signIn(t, e, fuzzSID, fuzzSubject)
	issue(t, e, fuzzSID, fuzzSubject, fuzzClient, 1)
	issueRefresh(t, e)
	damage(t, e, layout.GrantKey(fuzzToken))
	_, err := e.Grants().Apply(t.Context(), &grantstore.Batch{
		OperationID: "revoke",
		Revoke:      []grantstore.Revocation{{RequestID: fuzzSID + "-" + fuzzClient + "-0"}},
	}, base)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Grants().Get(t.Context(), fuzzRefresh, base); !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("the refresh token of a revoked family: %v, want ErrNotFound", err)
	}
	wantAside(t, e, layout.GrantKey(fuzzToken))
	wantContents(t, e)
}

// A start skips damaged jobs and resumes the others.
func TestStartSkipsDamagedRows(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	e := openAt(t, path)
	signIn(t, e, "sid", "ann")
	interruptJob(t, e, &logout.Ending{OperationID: "a", SubjectID: "bob", Reason: logout.Terminated}, base)
	interruptJob(t, e, &logout.Ending{OperationID: "b", SubjectID: "ann", Reason: logout.Terminated}, base)
	damage(t, e, layout.JobKey("a"), layout.IndexJobRunning, layout.TablePurge, layout.ContentsKey)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openAt(t, path)
	if job := finishedJob(t, e, "b"); job.Result.SessionsRemoved != 1 {
		t.Errorf("result %+v, want one session removed", job.Result)
	}
	wantContents(t, e)
}

// A move refuses a store with a damaged row, which it can neither copy nor compare. Once the row is due and
// deleted, it no longer blocks moves.
func TestMoveRefusesDamagedRows(t *testing.T) {
	t.Parallel()
	e, _ := openLogged(t)
	signIn(t, e, "sid", "ann")
	damage(t, e, layout.SessionKey("sid"))
	export := func() (err error) {
		for _, batchErr := range e.Transfer().Export(context.Background(), nil) {
			err = errors.Join(err, batchErr)
		}
		return err
	}
	if err := export(); !layout.IsDamage(err) {
		t.Errorf("export: %v, want an error that names the damage", err)
	}
	if _, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 10}, base.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := export(); err != nil {
		t.Errorf("export after the row was purged: %v", err)
	}
	wantContents(t, e)
	status, err := e.Transfer().Status(t.Context())
	if err != nil || status.Content[transfer.Sessions] != (transfer.Content{}) {
		t.Errorf("content %+v, error %v; want no session", status.Content, err)
	}
}
