package integration

// The ending of all sessions, despite kills of the plugin.

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// After a kill of the plugin the ending of all sessions is resumed, and each session is counted once.
func TestEndingOfAllSurvivesKills(t *testing.T) {
	t.Parallel()
	client := openPlugin(t, badgerConfig(t))
	ctx, now := t.Context(), time.Now().UTC()
	const n, callers, kills = 2000, 100, 3
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := caller; i < n; i += callers {
				sid := fmt.Sprintf("sid-%d", i)
				err := client.Tickets().Create(ctx, &ticketstore.Session{
					Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: fmt.Sprintf("subject-%d", i),
					Issuer:   "https://op.example",
					AuthTime: now, Created: now, Renewed: now, Expires: now.Add(time.Hour),
				})
				if err == nil {
					_, err = client.Grants().Apply(ctx, &grantstore.Batch{
						OperationID: "use-" + sid,
						Use:         &grantstore.Use{SessionID: sid, ClientID: "app", Notify: true},
						Store: []grantstore.Grant{{
							Ref: grantstore.Ref{
								Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf(sid),
							},
							RequestID: "request-" + sid, SubjectID: fmt.Sprintf("subject-%d", i),
							SessionID: sid, ClientID: "app",
							Created: now, Expires: now.Add(time.Hour),
						}},
					}, now)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	result, err := client.Logout().End(ctx,
		&logout.Ending{OperationID: "end-all", All: true, Reason: logout.Terminated}, now)
	if err != nil || result.JobID == "" {
		t.Fatalf("End: %+v, %v, want a job", result, err)
	}
	var job *logout.Job
	killed := 0
	testenv.Eventually(t, "the job is done", func() bool {
		if job, err = client.Logout().Job(ctx, result.JobID); err != nil {
			t.Logf("Job: %v", err) // the plugin is being restarted
			return false
		}
		// A kill every few hundred sessions, the first before any has ended, if the test is fast enough.
		if pid := client.PID(); job.State == logout.JobRunning && killed < kills && job.Done >= killed*n/4 &&
			pid != 0 {
			killed++
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return job.State == logout.JobDone
	})
	if killed == 0 {
		t.Error("the job was done before the plugin could be killed")
	}
	got := job.Result
	if got.SessionsRemoved != n || got.GrantsRevoked != n || got.NotificationsQueued != n ||
		job.Done != job.Total {
		t.Errorf("after %d kills the job is %+v, %d of %d, want %d sessions, grants and notifications",
			killed, got, job.Done, job.Total, n)
	}
	page, err := client.Tickets().Query(ctx, ticketstore.SessionQuery{})
	if err != nil || page.TotalCount != 0 || len(page.Sessions) != 0 {
		t.Errorf("sessions left: %+v, %v, want none", page, err)
	}
}
