package hostadapter_test

// The end of a job is reported once, with the note of its start, also by the next host.

import (
	"bytes"
	"context"
	"encoding/json"
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

// longJob is a backend with a job that runs until the test ends it.
type longJob struct {
	sessions.Backend
	ended, lost  atomic.Bool
	looks, hosts atomic.Int32
}

func (j *longJob) Describe(ctx context.Context) (ticketstore.Description, error) {
	description, err := j.Backend.Describe(ctx)
	description.Hosts = make([]ticketstore.Host, j.hosts.Load())
	return description, err
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

// ends are the reported ends.
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

// Only the host of a swap knows its outcome. A host that starts meanwhile leaves the report to that host, and
// reports the end itself once it is alone.
func TestSwapIsLeftToItsHost(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]struct {
		happens func(h *host, j *longJob)
		told    int
	}{
		"its host has told it":   {func(h *host, _ *longJob) { h.forget("followed_jobs") }, 0},
		"its host was killed":    {func(_ *host, j *longJob) { j.hosts.Store(1) }, 1},
		"hosts are not known of": {func(_ *host, j *longJob) { j.hosts.Store(0) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, j := newLongJob(t)
			j.lost.Store(true)
			j.hosts.Store(2)
			note := h.seal("job note", []byte("swap"), []byte("begun by Ann"))
			kept, err := json.Marshal(map[string]any{"writer": "first", "jobs": []any{
				map[string]any{"job": "swap", "note": note, "here": true},
			}})
			if err != nil {
				t.Fatal(err)
			}
			properties := h.Backend().Properties()
			if err := properties.SetProperty(t.Context(), "followed_jobs", nil, kept); err != nil {
				t.Fatal(err)
			}
			var e ends
			h.Operations().ResumeJobs(e.add)
			testenv.Eventually(t, "the job is looked at again", func() bool {
				return j.looks.Load() > 3 || len(e.told()) > 0
			})
			value, err := properties.Property(t.Context(), "followed_jobs")
			if told := e.told(); len(told) != 0 || err != nil || !bytes.Equal(value, kept) {
				t.Fatalf("told %+v, kept %q, %v; want it left to its host", told, value, err)
			}
			after.happens(h, j)
			if after.told > 0 {
				testenv.Eventually(t, "the end is reported", func() bool { return len(e.told()) > 0 })
			}
			if err := h.Close(); err != nil { // waits for what follows it
				t.Error(err)
			}
			if told := e.told(); len(told) != after.told ||
				after.told > 0 && string(told[0].Note) != "begun by Ann" {
				t.Errorf("told %+v, want %d ends", told, after.told)
			}
		})
	}
}

// If the store cannot keep the note, the job is still followed; an unknown outcome is reported as such.
func TestLostJob(t *testing.T) {
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
	// The property in the store is bounded. Jobs beyond the bound are reported by their own host.
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
