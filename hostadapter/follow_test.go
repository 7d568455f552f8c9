package hostadapter_test

// The end of a job is told once, with what was noted at its begin, also by the next host.

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// longJob is a backend with a job that runs until it is ended.
type longJob struct {
	sessions.Backend
	ended, lost atomic.Bool
	looks       atomic.Int32
}

type longJobLogout struct {
	logout.Store
	j *longJob
}

func (j *longJob) Logout() logout.Store { return &longJobLogout{j.Backend.Logout(), j} }

func (l *longJobLogout) Job(_ context.Context, id string) (*logout.Job, error) {
	l.j.looks.Add(1)
	job := &logout.Job{ID: id, State: logout.JobRunning, Result: logout.Result{SessionsRemoved: 7}}
	switch {
	case l.j.lost.Load():
		return nil, ticketstore.ErrNotFound
	case l.j.ended.Load():
		job.State = logout.JobDone
	}
	return job, nil
}

// ends are the ends that were told.
type ends struct {
	mu  sync.Mutex
	all []hostadapter.JobEnd
}

func (e *ends) add(end *hostadapter.JobEnd) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, *end)
}

func (e *ends) told() []hostadapter.JobEnd {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]hostadapter.JobEnd(nil), e.all...)
}

func newLongJob(t *testing.T) (*host, *longJob) {
	t.Helper()
	j := &longJob{}
	return newHost(t, func(c *hostadapter.Config) {
		j.Backend = c.Backend
		c.Backend = j
	}), j
}

func TestJobIsFollowedByTheNextHost(t *testing.T) {
	t.Parallel()
	h, j := newLongJob(t)
	var first, later ends
	const note = "begun by Ann"
	h.Operations().FollowJob(t.Context(), "job", []byte(note), first.add)
	testenv.Eventually(t, "the job was looked at", func() bool { return j.looks.Load() > 0 })
	if raw, err := h.Backend().Properties().Property(t.Context(), "followed_jobs"); err != nil ||
		!strings.Contains(string(raw), `"job"`) || strings.Contains(string(raw), "Ann") {
		t.Errorf("the store keeps %q, %v; want the job, and its note sealed", raw, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if told := first.told(); len(told) != 0 {
		t.Fatalf("a host that ended before the job told of %+v", told)
	}

	h.start()
	h.Operations().ResumeJobs(later.add)
	second := h.Adapter
	h.start() // a third host, which follows it too
	h.Operations().ResumeJobs(later.add)
	looks := j.looks.Load()
	testenv.Eventually(t, "both look at it", func() bool { return j.looks.Load() > looks+3 })
	j.ended.Store(true)
	testenv.Eventually(t, "the end was told", func() bool { return len(later.told()) > 0 })
	for _, adapter := range []*hostadapter.Adapter{second, h.Adapter} {
		if err := adapter.Close(); err != nil { // waits for both
			t.Error(err)
		}
	}
	told := later.told()
	if len(told) != 1 || told[0].ID != "job" || string(told[0].Note) != note || told[0].Removal == nil ||
		told[0].Removal.Result.SessionsRemoved != 7 {
		t.Errorf("told %+v, want the job once, its note and its result", told)
	}
}

// A store that cannot keep the note is no reason to forget the job, and what is not known any more is said.
func TestJobThatIsLost(t *testing.T) {
	t.Parallel()
	h, j := newLongJob(t)
	j.lost.Store(true)
	var e ends
	h.Operations().FollowJob(t.Context(), "gone", []byte("note"), e.add)
	testenv.Eventually(t, "the end was told", func() bool { return len(e.told()) > 0 })
	if got := e.told()[0]; got.Removal != nil || got.Swap != nil || string(got.Note) != "note" {
		t.Errorf("told %+v, want neither a removal nor a swap", got)
	}
	testenv.Eventually(t, "the store keeps none", func() bool {
		raw, err := h.Backend().Properties().Property(t.Context(), "followed_jobs")
		return err == nil && !strings.Contains(string(raw), "gone")
	})
	// The store's value is bounded. What has no place in it is told all the same, by its own host.
	j.lost.Store(false)
	var many ends
	ids := []string{"1", "2", "3", "4", "5", "6"}
	for _, id := range ids {
		h.Operations().FollowJob(t.Context(), id, make([]byte, 2*hostadapter.MaxJobNote), many.add)
	}
	raw, err := h.Backend().Properties().Property(t.Context(), "followed_jobs")
	if err != nil || len(raw) > ticketstore.MaxProperty || !strings.Contains(string(raw), `"job":"4"`) ||
		strings.Contains(string(raw), `"job":"5"`) {
		t.Errorf("the store keeps %d bytes %s, %v; want the first jobs", len(raw), raw, err)
	}
	j.ended.Store(true)
	testenv.Eventually(t, "all ends were told", func() bool { return len(many.told()) >= len(ids) })
	told := map[string]int{}
	for _, end := range many.told() {
		told[end.ID]++
	}
	for _, id := range ids {
		if told[id] != 1 {
			t.Errorf("the end of job %s was told %d times, want once", id, told[id])
		}
	}
}
