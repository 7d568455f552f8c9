package badger

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/check"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// reopenedAfter begins a job and closes and reopens the database after that many transactions of it.
func reopenedAfter(t *testing.T, e *Engine, path string, ending *logout.Ending, strides int) *Engine {
	t.Helper()
	if _, left, err := e.begin(t.Context(), ending, nil, base); err != nil || !left {
		t.Fatalf("begin: work left %t, error %v, want work left", left, err)
	}
	for range strides {
		if err := e.update(t.Context(), func(tx *kv.Tx) error {
			_, _, err := e.continueJob(tx, ending.OperationID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return openAt(t, path)
}

func finishedJob(t *testing.T, e *Engine, id string) *logout.Job {
	t.Helper()
	var job *logout.Job
	testenv.Eventually(t, "the job is done", func() bool {
		var err error
		if job, err = e.Logout().Job(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return job.State == logout.JobDone
	})
	return job
}

// A crash at any point between the end of a session and the purge of its grants does not change the counts.
func TestCountsAfterCrashBeforePurge(t *testing.T) {
	t.Parallel()
	const many = 2*maxInline + 7
	for strides := range 3 {
		for name, ending := range map[string]*logout.Ending{
			"by sid": {SessionID: "sid"}, "by subject": {SubjectID: "ann"}, "all": {All: true},
			"kept": {SessionID: "sid", KeepSession: true},
		} {
			t.Run(fmt.Sprint(name, ", ", strides, " strides"), func(t *testing.T) {
				t.Parallel()
				path := t.TempDir()
				e := openAt(t, path)
				signIn(t, e, "sid", "ann")
				issue(t, e, "sid", "ann", "app", many)
				ending.OperationID, ending.Reason = "op", logout.Terminated
				e = reopenedAfter(t, e, path, ending, strides)
				if job := finishedJob(t, e,
					"op"); job.Result.GrantsRevoked != many || job.Result.NotificationsQueued != 1 {
					t.Errorf("result %+v, want %d grants revoked and one notification", job.Result, many)
				}
				// The answer is kept regardless of the length of the interruption.
				if _, err := e.Grants().Purge(t.Context(), 100, base.Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				again, err := e.Logout().End(t.Context(), ending, base.Add(time.Hour))
				if err != nil || (!ending.All && again.GrantsRevoked != many) {
					t.Errorf("repeated: %+v, %v; want the same answer", again, err)
				}
				if report, err := e.Check(t.Context(),
					check.Config{}); err != nil || len(report.Findings) > 0 {
					t.Errorf("not consistent: %v, %v", report.Findings, err)
				}
			})
		}
	}
}

// A job interrupted at any point ends and counts each session once, also if sessions are kept.
func TestInterruptedEndingOfAll(t *testing.T) {
	t.Parallel()
	const sessions = 3*batchSessions + 5
	for _, keep := range []bool{false, true} {
		for strides := range 5 {
			t.Run(fmt.Sprintf("keep %t, %d strides", keep, strides), func(t *testing.T) {
				t.Parallel()
				path := t.TempDir()
				e := openAt(t, path)
				for i := range sessions {
					sid := fmt.Sprintf("sid%03d", i)
					signIn(t, e, sid, fmt.Sprint("subject", i%7))
					issue(t, e, sid, fmt.Sprint("subject", i%7), "app", 1)
				}
				e = reopenedAfter(t, e, path, &logout.Ending{OperationID: "op", All: true, KeepSession: keep,
					Reason: logout.Terminated}, strides)
				job := finishedJob(t, e, "op")
				gone := sessions
				if keep {
					gone = 0
				}
				if r := job.Result; r.SessionsRemoved != gone || r.GrantsRevoked != sessions ||
					r.NotificationsQueued != sessions {
					t.Errorf("result %+v, want %d sessions, %d grants and notifications", r, gone, sessions)
				}
				if job.Total != sessions || job.Done != sessions {
					t.Errorf("%d of %d sessions processed, want all %d", job.Done, job.Total, sessions)
				}
			})
		}
	}
}

// Only one ending of all runs at a time; a failed one does not block others.
func TestOneEndingOfAllAtATime(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	first := &logout.Ending{OperationID: "first", All: true, Reason: logout.Terminated}
	interruptJob(t, e, first, base)
	second := &logout.Ending{OperationID: "second", All: true, Reason: logout.Terminated}
	if _, err := e.Logout().End(t.Context(), second, base); !errors.Is(err, logout.ErrBusy) {
		t.Fatalf("a second ending of all: error %v, want ErrBusy", err)
	}
	if _, err := e.Logout().Job(t.Context(), "second"); !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("the refused job: error %v, want ErrNotFound", err)
	}
	dry := &logout.Ending{OperationID: "dry", All: true, Reason: logout.Terminated, DryRun: true}
	if _, err := e.Logout().End(t.Context(), dry, base); err != nil {
		t.Errorf("a dry run meanwhile: %v", err)
	}
	err := e.update(t.Context(), func(tx *kv.Tx) error {
		return failJob(tx, "first", errors.New("disk full"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if job, err := e.Logout().Job(t.Context(),
		"first"); err != nil || job.State != logout.JobFailed || job.Error != "disk full" {
		t.Errorf("the stopped job: %+v, %v; want it failed with the reason", job, err)
	}
	if _, err := e.Logout().End(t.Context(), second, base); err != nil {
		t.Errorf("an ending of all after the other stopped: %v", err)
	}
	finishedJob(t, e, "second")
	// Repeating the ending resumes the failed job.
	if _, err := e.Logout().End(t.Context(), first, base); err != nil {
		t.Fatal(err)
	}
	finishedJob(t, e, "first")
}
