package postgres

// A row that cannot be read.

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A session with any damaged row is logged, and other sessions end.
func TestSweepSkipsDamagedSession(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"its own": "UPDATE {s}.sessions SET data = '\\xff', due = due - 1 WHERE sid = 'session bad'",
		"its own, with the sid of another": `UPDATE {s}.sessions SET data = '\x120178ff', due = due - 1
			WHERE sid = 'session bad'`,
		"a grant": "UPDATE {s}.grants SET data = '\\xff' WHERE sid = 'session bad'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			damagedSession(t, sql)
		})
	}
}

func damagedSession(t *testing.T, sql string) {
	t.Helper()
	e, log := openLogged(t)
	for _, name := range []string{"bad", "one", "two"} {
		if err := (&tokenFamily{name: name}).signIn(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.pool.Exec(t.Context(), e.sql(sql)); err != nil {
		t.Fatal(err)
	}
	_, err := e.Logout().End(t.Context(), &logout.Ending{
		OperationID: "end", SessionID: "session bad", Reason: logout.UserLogout,
	}, base)
	if !errors.Is(err, ticketstore.ErrUnavailable) || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("the end of the damaged session: %v, want ErrUnavailable with the cause", err)
	}
	now := base.Add(2000 * time.Hour)
	sweep := logout.Sweep{
		Limit: 10, AskRegistered: true, Registered: ticketstore.Registrations{"app": nil},
	}
	swept, err := e.Logout().EndDue(t.Context(), sweep, now)
	if err != nil || swept.Ended != 2 || swept.Next.Before(now.Add(postponed)) {
		t.Errorf("a sweep: %+v, %v, want the others ended and the next one in an hour", swept, err)
	}
	if _, err := e.Logout().EndDue(t.Context(), sweep, now); err != nil {
		t.Errorf("the next sweep: %v", err)
	}
	if said := strings.Count(log.String(), "session is damaged"); said != 1 {
		t.Errorf("the damaged session is logged %d times, want once:\n%s", said, log)
	}
}

// Claims, purges and pages skip damaged rows of all kinds. The rows stay.
func TestDamagedRowsAreSkipped(t *testing.T) {
	t.Parallel()
	e, log := openLogged(t)
	damage := func(table, where string) {
		t.Helper()
		tag, err := e.pool.Exec(t.Context(), e.sql("UPDATE {s}."+table+" SET data = '\\xff' WHERE "+where))
		if err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("damaging a row of %s: %d rows, %v", table, tag.RowsAffected(), err)
		}
	}
	families := endedSessions(t, e)
	damage("notices", "id = (SELECT min(id) FROM {s}.notices)")
	damage("grants", "due = (SELECT min(due) FROM {s}.grants)")
	damage("sessions", "sid = 'session bad'")
	damage("client_uses", "sid = 'session worse'")

	page, err := e.Logout().Notifications(t.Context(), logout.NotificationQuery{})
	if err != nil || len(page.Notifications) != families-1 {
		t.Errorf("a page of notifications: %v, %v, want the intact ones", page, err)
	}
	sessions, err := e.Tickets().Query(t.Context(), ticketstore.SessionQuery{Count: 2})
	if err != nil || len(sessions.Sessions) != 2 || sessions.HasNext {
		t.Errorf("a page of sessions: %+v, %v, want the two intact ones", sessions, err)
	}
	grants, err := e.Grants().Query(t.Context(), grantstore.Query{}, base)
	if err != nil || len(grants.Grants) != 2+2 {
		t.Errorf("a page of grants: %+v, %v, want the two unbound ones and those of the session", grants, err)
	}

	deliver := func(now time.Time, want int) {
		t.Helper()
		claimed, err := e.Logout().Claim(t.Context(),
			logout.Claim{Limit: 10, PerClient: 10, Lease: time.Minute}, now)
		if err != nil || len(claimed.Deliveries) != want {
			t.Fatalf("a claim: %+v, %v, want the %d intact ones", claimed, err, want)
		}
		for _, d := range claimed.Deliveries {
			err := e.Logout().Settle(t.Context(), d.ID, d.Claim, logout.Outcome{State: logout.Delivered}, now)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	now := base.Add(2 * time.Minute)
	deliver(now, families-1)
	damage("notices", "id = (SELECT max(id) FROM {s}.notices)")
	retry := logout.Retry{Limit: 10, Filter: logout.NotificationFilter{ClientID: "app"}}
	if retried, err := e.Logout().Retry(t.Context(), retry, now); err != nil || retried.Count != families-2 {
		t.Errorf("a retry: %+v, %v, want the intact ones", retried, err)
	}
	deliver(now, families-2)
	damage("ended", "sid = (SELECT min(sid) FROM {s}.ended)")
	damage("jobs", "id = (SELECT min(id) FROM {s}.jobs)")
	now = base.Add(900 * time.Hour)
	for range 2 {
		if _, err := e.Grants().Purge(t.Context(), 100, now); err != nil {
			t.Errorf("a purge of grants: %v", err)
		}
		if _, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 100}, now); err != nil {
			t.Errorf("a sweep: %v", err)
		}
	}
	for table, want := range map[string]int{"grants": 1, "notices": 2, "ended": 1, "jobs": 1} {
		var left int
		err := e.pool.QueryRow(t.Context(), e.sql("SELECT count(*) FROM {s}."+table)).Scan(&left)
		if err != nil || left != want {
			t.Errorf("%d rows of %s are left, %v, want %d", left, table, err, want)
		}
	}
	if said := strings.Count(log.String(), "row is damaged"); said != 5 {
		t.Errorf("damaged rows are logged %d times, want each once:\n%s", said, log)
	}
}

// endedSessions fills a store with ended sessions, each with a notification, with jobs, unbound tokens and
// the live sessions good, bad and worse.
func endedSessions(t *testing.T, e *Engine) (ended int) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		l := &tokenFamily{name: fmt.Sprint(i)}
		must(l.signIn(ctx, e))
		_, err := e.Grants().Apply(ctx, &grantstore.Batch{
			OperationID: "use " + l.name,
			Use:         &grantstore.Use{SessionID: "session " + l.name, ClientID: "app", Notify: true},
		}, base)
		must(err)
		_, err = e.Logout().End(ctx, &logout.Ending{
			OperationID: "end " + l.name, SessionID: "session " + l.name, Reason: logout.Terminated,
		}, base.Add(time.Minute)) // so long after its last use that it is notified once
		must(err)
		_, err = e.Logout().End(ctx, &logout.Ending{
			OperationID: "job " + l.name, SubjectID: "nobody", Reason: logout.Terminated,
		}, base)
		must(err)
	}
	for _, name := range []string{"bad", "good", "worse"} {
		must((&tokenFamily{name: name}).signIn(ctx, e))
	}
	loose := &grantstore.Batch{OperationID: "loose"}
	for i := range 3 {
		g := (&tokenFamily{name: "loose"}).access(i)
		g.SessionID, g.Expires = "", base.Add(time.Duration(i+1)*30*time.Minute)
		loose.Store = append(loose.Store, g)
	}
	_, err := e.Grants().Apply(ctx, loose, base)
	must(err)
	return 4
}

// openLogged opens an engine over an empty store, with its log.
func openLogged(t *testing.T) (*Engine, *testenv.Log) {
	t.Helper()
	log := &testenv.Log{}
	e, err := Open(t.Context(), emptyStore(t), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e, log
}
