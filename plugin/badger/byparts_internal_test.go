package badger

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// giantClients is the number of clients of a session from before the bound, with ids of maximum length.
const giantClients = 3000

// giantSession makes such a session. Its last client has a refresh token.
func giantSession(t *testing.T, e *Engine, sid, subject string) grantstore.Ref {
	t.Helper()
	signIn(t, e, sid, subject)
	for from := 0; from < giantClients; from += 500 {
		err := e.update(t.Context(), func(tx *kv.Tx) error {
			session, err := loadSession(tx, sid)
			if err != nil {
				return err
			}
			for i := from; i < from+500; i++ {
				client := giantClient(i)
				tx.Put(layout.SessionPosition(layout.IndexClient, layout.More(client), session), nil)
				use := &records.ClientUse{FirstUsed: records.Nanos(base), LastUsed: records.Nanos(base),
					Notify: true}
				if err := errors.Join(countSession(tx, client, 1),
					tx.Save(layout.ClientUseKey(sid, client), use)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	refresh := grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf(sid)}
	rowsOf(t, e, &grantstore.Batch{OperationID: sid, Store: []grantstore.Grant{{
		Ref: refresh, RequestID: sid, SubjectID: subject, SessionID: sid,
		ClientID: giantClient(giantClients - 1), Created: base, Offline: true,
	}}})
	return refresh
}

func giantClient(i int) string { return fmt.Sprintf("%0*d", ticketstore.MaxID, i) }

// A session stored before the bound is ended in steps; other users can sign in meanwhile.
func TestSessionsWithTooManyClientsEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(ctx context.Context, e *Engine) error{
		"by sid": func(ctx context.Context, e *Engine) error {
			_, err := e.Logout().End(ctx, &logout.Ending{
				OperationID: "op", SessionID: "giant", Reason: logout.Terminated, KeepOffline: true,
			}, base)
			return err
		},
		"by subject": func(ctx context.Context, e *Engine) error {
			_, err := e.Logout().End(ctx, &logout.Ending{
				OperationID: "op", SubjectID: "ann", Reason: logout.Terminated, KeepOffline: true,
			}, base)
			return err
		},
		"by expiry": func(ctx context.Context, e *Engine) error {
			_, err := e.Logout().EndDue(ctx, logout.Sweep{Limit: 10, KeepOffline: true},
				base.Add(2*time.Hour))
			return err
		},
		"by a limit": func(ctx context.Context, e *Engine) error {
			s := anHour("next", "ann")
			_, err := e.Tickets().CreateWithin(ctx, s,
				ticketstore.Limit{Max: 1, EndOldest: true, KeepOffline: true}, base)
			if err != nil {
				return err
			}
			// Once some of its clients are notified, the session is over: a sweep does the rest.
			_, err = e.Logout().EndDue(ctx, logout.Sweep{Limit: 10, KeepOffline: true}, base)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openAt(t, t.TempDir())
			refresh := giantSession(t, e, "giant", "ann")
			var group sync.WaitGroup
			for i := range 50 {
				group.Go(func() {
					if err := e.Tickets().Create(t.Context(),
						anHour(fmt.Sprint("other", i), "bob")); err != nil {
						t.Errorf("another user's sign-in: %v", err)
					}
				})
			}
			if err := end(t.Context(), e); err != nil {
				t.Fatalf("end: %v", err)
			}
			group.Wait()
			if _, err := e.Tickets().Find(t.Context(), "giant"); !errors.Is(err, ticketstore.ErrNotFound) {
				t.Errorf("the session is still there: %v", err)
			}
			stats, err := e.Stats(t.Context())
			if err != nil || stats.Deliveries[string(logout.Pending)] != giantClients {
				t.Errorf("got notifications %v, error %v, want one for each client", stats.Deliveries, err)
			}
			if _, err := e.Grants().Get(t.Context(), refresh, base.Add(2*time.Hour)); err != nil {
				t.Errorf("the offline refresh token of its last client: %v, want it live", err)
			}
			checkStore(t, e)
		})
	}
}

// After a crash between two steps the session is dead, and a sweep ends it.
func TestInterruptedEndingByParts(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	e := openAt(t, path)
	refresh := giantSession(t, e, "giant", "ann")
	ending := &logout.Ending{SessionID: "giant", Reason: logout.Terminated, KeepOffline: true}
	err := e.update(t.Context(), func(tx *kv.Tx) error {
		c := e.closing(tx, ending, base)
		c.byParts = true
		return c.run("giant")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openAt(t, path)
	checkStore(t, e)
	if _, err := e.Grants().Get(t.Context(), refresh, base); !errors.Is(err, grantstore.ErrSessionEnded) {
		t.Errorf("a token of a session that ends in steps: %v", err)
	}
	swept, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 10, KeepOffline: true}, base)
	if err != nil || swept.Ended != 1 {
		t.Errorf("sweep: got %+v, %v, want the session ended", swept, err)
	}
	checkStore(t, e)
	if _, err := e.Grants().Get(t.Context(), refresh, base); err != nil {
		t.Errorf("its offline refresh token: %v", err)
	}
}

// Revoking the tokens of a session's clients while keeping the session, with too many clients.
func TestKeptSessionWithTooManyClients(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	refresh := giantSession(t, e, "giant", "ann")
	named := &logout.Ending{
		OperationID: "named", SessionID: "giant", Reason: logout.Terminated, KeepSession: true,
		ClientIDs: []string{giantClient(giantClients - 1)}, SkipNotification: true, KeepTokens: true,
	}
	result, err := e.Logout().End(t.Context(), named, base)
	if err != nil || len(result.ClientsLeftAlone) != giantClients-1 {
		t.Fatalf("one client: %v, %d left alone", err, len(result.ClientsLeftAlone))
	}
	if _, err := e.Grants().Get(t.Context(), refresh, base); err != nil {
		t.Fatalf("its token: %v", err)
	}
	all := &logout.Ending{OperationID: "all", SessionID: "giant", Reason: logout.Terminated,
		KeepSession: true}
	if _, err := e.Logout().End(t.Context(), all, base); err != nil {
		t.Fatalf("all clients: %v", err)
	}
	if _, err := e.Grants().Get(t.Context(), refresh, base); err == nil {
		t.Error("a token of a revoked client is live")
	}
	if _, err := e.Tickets().Find(t.Context(), "giant"); err != nil {
		t.Errorf("the session: %v", err)
	}
}

// A sweep skips a session that it cannot end, ends the others and purges.
func TestSweepContinuesAfterTooLargeChange(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	for i := range 5 {
		signIn(t, e, fmt.Sprint("ended", i), "ann")
	}
	if _, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 100}, base.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	signIn(t, e, "large", "ann")
	for i := range 40 {
		rowsOf(t, e, &grantstore.Batch{
			OperationID: fmt.Sprint("use", i), Use: &grantstore.Use{SessionID: "large",
				ClientID: fmt.Sprint("client", i), Notify: true},
		})
	}
	for i := range 20 {
		signIn(t, e, fmt.Sprint("small", i), "bob")
	}
	err := e.update(t.Context(), func(*kv.Tx) error { // in the committer, which owns it
		*e.db.Bounds().Keys = 150
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	late := base.Add(rules.EndedRetention + 2*time.Hour)
	swept, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 100}, late)
	if err != nil || swept.Ended != 20 {
		t.Errorf("sweep: got %+v, %v, want 20 sessions ended", swept, err)
	}
	if stats, err := e.Stats(t.Context()); err != nil || stats.Records["ended"] != 20 {
		t.Errorf("want the old ended records purged, got %v, %v", stats.Records, err)
	}
	// If nothing else is left, the sweep returns the error.
	var tooLarge *kv.TooLargeError
	if _, err = e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 100}, late); !errors.As(err, &tooLarge) {
		t.Errorf("got %v, want the error of the remaining session", err)
	}
}
