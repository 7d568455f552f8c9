package badger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// setFree replaces the query of the free disk space. It must not run concurrently with a change, because the
// committer queries while applying one.
func setFree(t *testing.T, e *Engine, free func(path string) (uint64, error)) {
	t.Helper()
	if err := e.end(t.Context(), func(*kv.Tx) error { e.db.Space().Free = free; return nil }); err != nil {
		t.Fatal(err)
	}
}

// A sweep that fails half-way returns the sessions that it has ended: each end is reported once.
func TestSweepFailsHalfWay(t *testing.T) {
	t.Parallel()
	const sessions = 3 * sweepConcurrency
	e, _ := openLogged(t)
	for i := range sessions {
		signIn(t, e, fmt.Sprint(i), "ann")
	}
	space := e.db.Space()
	whole := space.Free
	var asked atomic.Int64 // by the committer, for changes of the engine's own too
	setFree(t, e, func(path string) (uint64, error) {
		if asked.Add(1) > 2 {
			return 0, nil
		}
		return whole(path)
	})
	now := base.Add(2 * time.Hour)
	first, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 2 * sessions}, now)
	if err != nil || first.Ended == 0 || first.Ended == sessions || !first.Next.Equal(now) {
		t.Fatalf("a sweep on a full disk: %+v, %v, want some ended and the next one due", first, err)
	}
	if _, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 2 * sessions}, now); !errors.Is(err,
		ticketstore.ErrNoSpace) {
		t.Errorf("a sweep on a full disk: %v, want ErrNoSpace", err)
	}
	asked.Store(-1 << 30)
	rest, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 2 * sessions}, now)
	if err != nil || first.Ended+rest.Ended != sessions {
		t.Fatalf("with free space: %+v, %v, after %d of %d", rest, err, first.Ended, sessions)
	}
	reported := map[string]bool{}
	for _, s := range slices.Concat(first.Sessions, rest.Sessions) {
		reported[s.SessionID] = true
	}
	if len(reported) != sessions {
		t.Errorf("%d sessions were reported, want each of %d", len(reported), sessions)
	}
}

// A removal of all that was stopped by a full disk continues by itself when there is free space.
func TestJobWaitsForSpace(t *testing.T) {
	t.Parallel()
	const sessions = 3 * batchSessions
	e, log := openLogged(t)
	for i := range sessions {
		signIn(t, e, fmt.Sprint(i), "ann")
	}
	space := e.db.Space()
	whole := space.Free
	var full atomic.Bool
	var asked atomic.Int64
	setFree(t, e, func(path string) (uint64, error) {
		if full.Load() && asked.Add(1) > 1 { // after the first step
			return 0, nil
		}
		return whole(path)
	})
	full.Store(true)
	all := &logout.Ending{OperationID: "all", All: true, Reason: logout.Terminated}
	if _, err := e.Logout().End(t.Context(), all, base); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the job waits", func() bool {
		return strings.Contains(log.String(), "waits for disk space")
	})
	full.Store(false)
	testenv.Eventually(t, "the job is done", func() bool {
		job, err := e.Logout().Job(t.Context(), "all")
		return err == nil && job.State == logout.JobDone && job.Result.SessionsRemoved == sessions
	})
}

// On a nearly full disk sign-ins are refused, while reads and ends are served. With free space everything
// works.
func TestFullDiskRefusesChanges(t *testing.T) {
	t.Parallel()
	e, log := openLogged(t)
	create := func(sid string) error { return e.Tickets().Create(t.Context(), anHour(sid, "ann")) }
	signIn(t, e, "before", "ann")
	signIn(t, e, "another", "ann")
	space := e.db.Space()
	whole := space.Free
	setFree(t, e, func(string) (uint64, error) { return space.Least, nil })
	for range 2 {
		err := create("meanwhile")
		if !errors.Is(err, ticketstore.ErrNoSpace) || !errors.Is(err,
			ticketstore.ErrUnavailable) || !strings.Contains(err.Error(), "512 MiB are free") {
			t.Fatalf("Create on a nearly full disk: %v, want ErrUnavailable with the reason", err)
		}
		if _, err := e.Tickets().Get(t.Context(), ticketstore.KeyOf("meanwhile")); !errors.Is(err,
			ticketstore.ErrNotFound) {
			t.Errorf("Get of a refused session: %v", err)
		}
	}
	if d, err := e.Describe(t.Context()); err != nil || !strings.Contains(d.Trouble, "512 MiB are free") {
		t.Errorf("Describe: %v, trouble %q, want the disk named", err, d.Trouble)
	}
	if _, err := e.Tickets().Get(t.Context(), ticketstore.KeyOf("before")); err != nil {
		t.Errorf("Get on a nearly full disk: %v", err)
	}
	end := func(sid string) error {
		_, err := e.Logout().End(t.Context(), &logout.Ending{OperationID: "end " + sid, SessionID: sid,
			Reason: logout.Terminated}, base)
		return err
	}
	if err := end("before"); err != nil {
		t.Errorf("End on a nearly full disk: %v", err)
	}
	if _, err := e.Tickets().Get(t.Context(), ticketstore.KeyOf("before")); !errors.Is(err,
		ticketstore.ErrNotFound) {
		t.Errorf("Get of the ended session: %v", err)
	}
	setFree(t, e, func(string) (uint64, error) { return space.Least / 2, nil })
	if err := end("another"); !errors.Is(err, ticketstore.ErrNoSpace) {
		t.Errorf("End on a full disk: %v, want ErrNoSpace", err)
	}
	if _, err := e.Logout().EndDue(t.Context(), logout.Sweep{Limit: 1},
		base.Add(48*time.Hour)); !errors.Is(err, ticketstore.ErrNoSpace) {
		t.Errorf("Purge on a full disk: %v, want ErrNoSpace", err)
	}
	setFree(t, e, whole)
	if err := create("meanwhile"); err != nil {
		t.Errorf("Create with free space: %v", err)
	}
	if d, err := e.Describe(t.Context()); err != nil || d.Trouble != "" {
		t.Errorf("Describe with free space: %v, trouble %q", err, d.Trouble)
	}
	for _, line := range []string{"the disk is nearly full", "the disk has room again"} {
		if n := strings.Count(log.String(), line); n != 1 {
			t.Errorf("%d log lines with %q, want one", n, line)
		}
	}
}
