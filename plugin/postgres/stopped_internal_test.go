package postgres

// Hosts that stop in the middle of their work, while others continue (rule 14).

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// signedIn creates sessions, each with a client that is to be notified.
func signedIn(t *testing.T, e *Engine, n int) {
	t.Helper()
	for i := range n {
		l := &tokenFamily{name: fmt.Sprintf("%03d", i)}
		if err := l.signIn(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		_, err := e.Grants().Apply(t.Context(), &grantstore.Batch{
			OperationID: l.name + " use", Use: &grantstore.Use{
				SessionID: "session " + l.name, ClientID: fmt.Sprint("client ", i%4), Notify: true,
			},
		}, base)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// lockRows returns a transaction that has locked rows, like that of a stopped host.
func lockRows(t *testing.T, e *Engine, sql string) pgx.Tx {
	t.Helper()
	holder, err := e.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), e.sql(sql)); err != nil {
		t.Fatal(err)
	}
	return holder
}

func rollback(t *testing.T, holder pgx.Tx) {
	t.Helper()
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A host that was stopped during a sweep or a claim blocks only the rows that it has locked, until its
// transaction ends.
func TestStoppedHostBlocksLockedRowsOnly(t *testing.T) {
	t.Parallel()
	h := openHosts(t, 2)
	stopped, e := h.engines[0], h.engines[1]
	signedIn(t, e, 40)
	due := base.Add(1000 * time.Hour)
	sweep := func(want int) {
		t.Helper()
		swept, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 100}, due)
		if err != nil || swept.Ended != want {
			t.Fatalf("a sweep: %+v, error %v, want %d sessions ended", swept, err, want)
		}
	}
	holder := lockRows(t, stopped, "SELECT sid FROM {s}.sessions WHERE sid < 'session 010' FOR UPDATE")
	sweep(30)
	rollback(t, holder)
	sweep(10)

	claim := func(want int, more bool) {
		t.Helper()
		claimed, err := e.Logout().Claim(t.Context(),
			logout.Claim{Limit: 100, PerClient: 100, Lease: time.Minute}, due)
		if err != nil || len(claimed.Deliveries) != want {
			t.Fatalf("a claim got %d notifications, error %v, want %d", len(claimed.Deliveries), err, want)
		}
		if again := !claimed.Next.After(due); again != more {
			t.Errorf("the next claim is at %v, want now: %t", claimed.Next, more)
		}
	}
	holder = lockRows(t, stopped, "SELECT id FROM {s}.notices ORDER BY id LIMIT 8 FOR UPDATE")
	claim(40-8, true)
	rollback(t, holder)
	claim(8, false)
	checkAfterwards(t, e)
}

// The job of a stopped host is completed by another host after its lease has expired, and counted once. When
// the stopped host resumes, it continues with the progress of the other.
func TestJobIsResumedByAnotherHost(t *testing.T) {
	t.Parallel()
	h := openHosts(t, 2)
	stopped, e := h.engines[0], h.engines[1]
	signedIn(t, e, 150)
	ending := &logout.Ending{OperationID: "all", All: true, Reason: logout.Terminated}
	if p, err := stopped.begin(ending, base); err != nil || p.done {
		t.Fatalf("begin: done %t, error %v", p.done, err)
	}
	job := func() *logout.Job {
		t.Helper()
		job, err := e.Logout().Job(t.Context(), "all")
		if err != nil {
			t.Fatal(err)
		}
		return job
	}
	if e.resume(t.Context()); job().State != logout.JobRunning || job().Done != 0 {
		t.Fatalf("before the lease has expired the job is %+v, want no progress of the other host", job())
	}
	if _, err := e.pool.Exec(t.Context(), e.sql("UPDATE {s}.jobs SET lease = 1")); err != nil {
		t.Fatal(err)
	}
	go e.resume(t.Context())
	if _, err := stopped.workOn("all"); err != nil { // the stopped host resumes
		t.Fatal(err)
	}
	testenv.Eventually(t, "the job is done", func() bool { return job().State == logout.JobDone })
	if r := job().Result; r.SessionsRemoved != 150 || r.NotificationsQueued != 150 || r.GrantsRevoked != 300 {
		t.Errorf("the job has the result %+v, want 150 sessions, 150 notifications and 300 grants", r)
	}
	checkAfterwards(t, e)
}

// A running claim completes after the context of its caller has ended.
func TestClaimAfterItsContextEnds(t *testing.T) {
	t.Parallel()
	e := openEngine(t)
	signedIn(t, e, 1)
	due := base.Add(1000 * time.Hour)
	if _, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 10}, due); err != nil {
		t.Fatal(err)
	}
	holder := lockRows(t, e, "LOCK TABLE {s}.notices IN EXCLUSIVE MODE") // others may read
	defer func() { _ = holder.Rollback(context.WithoutCancel(t.Context())) }()
	ctx, leave := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := e.Logout().Claim(ctx, logout.Claim{Limit: 1, PerClient: 1, Lease: time.Minute}, due)
		answered <- err
	}()
	testenv.Eventually(t, "the claim waits", func() bool {
		var waits bool
		err := e.pool.QueryRow(t.Context(), e.sql(`SELECT EXISTS (SELECT 1 FROM pg_locks
			WHERE relation = '{s}.notices'::regclass AND NOT granted)`)).Scan(&waits)
		return err == nil && waits
	})
	leave()
	if err := <-answered; !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("a claim whose context has ended: %v", err)
	}
	rollback(t, holder)
	testenv.Eventually(t, "the claim is committed", func() bool {
		var leased bool
		err := e.pool.QueryRow(t.Context(), e.sql("SELECT due > $1 FROM {s}.notices"), due.UnixNano()).
			Scan(&leased)
		return err == nil && leased
	})
}
