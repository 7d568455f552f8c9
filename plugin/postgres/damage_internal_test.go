package postgres

// A row that cannot be read.

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A damaged session, whichever of its rows is damaged, is named as the cause, and does not block the end of
// others.
func TestDamagedSessionStopsNoSweep(t *testing.T) {
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
	settings, log := emptyStore(t), &testenv.Log{}
	e, err := Open(t.Context(), settings, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	for _, name := range []string{"bad", "one", "two"} {
		if err := (&line{name: name}).signIn(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.pool.Exec(t.Context(), e.sql(sql)); err != nil {
		t.Fatal(err)
	}
	_, err = e.Logout().End(t.Context(), &logout.Ending{
		OperationID: "end", SessionID: "session bad", Reason: logout.UserLogout,
	}, base)
	if !errors.Is(err, ticketstore.ErrUnavailable) || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("the end of the damaged session: %v, want ErrUnavailable that says so", err)
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
	if said := strings.Count(log.String(), "a session is damaged"); said != 1 {
		t.Errorf("the log says %d times that a session is damaged, want once:\n%s", said, log)
	}
}
