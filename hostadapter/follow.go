package hostadapter

// Jobs that are followed to their end: what is noted of one at its begin is there at its end, also where
// another host, or the next one, sees it.

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// followedProperty keeps the followed jobs in the store.
	followedProperty = "followed_jobs"
	// maxFollowed bounds them: few jobs run at a time, and those of a host that has ended are taken over. One
	// beyond it is followed by its host alone: in the place of another the end of that one would be lost.
	maxFollowed = 4
	// MaxJobNote bounds what is noted of a job, in bytes. All of them fit into ticketstore.MaxProperty.
	MaxJobNote = 512
	// followPause is how often a job is looked at, at first and later; swapGrace for how long a swap that is
	// aborted by Close may take to say so.
	firstFollowPause, followPause, swapGrace = 50 * time.Millisecond, time.Second, 5 * time.Second
)

// JobEnd is the end of a job.
type JobEnd struct {
	ID string
	// Note is what was noted at the job's begin.
	Note []byte
	// Removal or Swap is the job as it ended. Both are nil where that is not known any more, such as of a
	// swap whose host was killed.
	Removal *logout.Job
	Swap    *SwapState
}

// followedJobs is the property. Its writer makes each value another one: SetProperty takes what is there
// already for a repeated call, and of two hosts that take a job out of it one is to fail.
type followedJobs struct {
	Jobs   []followedJob `json:"jobs"`
	Writer string        `json:"writer"`
}

// followedJob is a job in it. Its note is sealed: a store must not say who has begun one.
type followedJob struct {
	Job  string `json:"job"`
	Note []byte `json:"note"`
	// Here: the host that has begun it knows its end, as of a swap, which has Began then.
	Here  bool      `json:"here,omitempty"`
	Began time.Time `json:"began,omitzero"`
}

const jobNotePurpose = "job note"

// FollowJob calls ended when the job of that id, a removal of all or a swap, has ended. The note, at most
// MaxJobNote bytes, is kept in the store: of a host that ends before the job ResumeJobs does the rest. It is
// called once; a host that is killed at that moment does not call it.
func (o *Operations) FollowJob(ctx context.Context, id string, note []byte, ended func(*JobEnd)) {
	a := o.adapter
	note = note[:min(len(note), MaxJobNote)]
	sealed := a.ring.seal(jobNotePurpose, []byte(id), note)
	noted := followedJob{Job: id, Note: sealed}
	if swap := a.swapOf(id); swap != nil {
		noted.Here, noted.Began = true, swap.Started
	}
	kept := false
	err := a.changeFollowed(ctx, func(jobs []followedJob) (after []followedJob, changed bool) {
		if kept = len(jobs) < maxFollowed; kept {
			jobs = append(jobs, noted)
		}
		return jobs, kept
	})
	if kept = kept && err == nil; !kept {
		a.config.Logger.WarnContext(ctx, "a job is followed by this host alone", "job", id, "error", err)
	}
	a.inBackground(func() { a.follow(followed{id: id, note: note, kept: kept}, ended) })
}

// ResumeJobs is FollowJob for the jobs of hosts that have ended. Where several hosts follow a job, one of
// them calls ended.
func (o *Operations) ResumeJobs(ended func(*JobEnd)) {
	a := o.adapter
	a.inBackground(func() {
		var jobs []followedJob
		for pause := firstFollowPause; ; pause = min(2*pause, followPause) {
			var err error
			if _, jobs, err = a.followed(context.Background()); err == nil {
				break
			}
			if !a.waits(pause) {
				return
			}
		}
		for _, job := range jobs {
			note, err := a.unseal(jobNotePurpose, []byte(job.Job), job.Note)
			tell := ended
			if err != nil { // not ours to believe, but its place is to become free
				tell = func(*JobEnd) {}
			}
			a.inBackground(func() {
				a.follow(followed{id: job.Job, note: note, kept: true, elsewhere: job.Here}, tell)
			})
		}
	})
}

// inBackground runs what ends when the adapter is closed, unless it is.
func (a *Adapter) inBackground(run func()) {
	a.swaps.mu.Lock()
	defer a.swaps.mu.Unlock()
	if !a.swaps.closed() {
		a.swaps.ended.Go(run)
	}
}

// waits pauses, and reports whether the adapter is open still.
func (a *Adapter) waits(pause time.Duration) bool {
	select {
	case <-time.After(pause):
		return true
	case <-a.swaps.closing:
		return false
	}
}

// followed is a job that this host follows.
type followed struct {
	id   string
	note []byte
	// kept: it is in the property. elsewhere: another host has begun it, and only that one knows of it.
	kept, elsewhere bool
}

// follow looks at a job until it ends. It calls ended where it was this host that took the job out of the
// property: SetProperty lets one of several do so.
func (a *Adapter) follow(job followed, ended func(*JobEnd)) {
	ctx := context.Background()
	end := &JobEnd{ID: job.id, Note: job.note}
	var closed time.Time
	for pause := firstFollowPause; !a.lookAt(ctx, end, job.elsewhere); pause = min(2*pause, followPause) {
		switch {
		case a.waits(pause):
			continue
		case end.Swap == nil:
			return // a removal goes on, and the next host follows it
		case closed.IsZero():
			closed = time.Now()
		case time.Since(closed) > swapGrace:
			return
		}
		time.Sleep(firstFollowPause)
	}
	taken := false
	err := a.changeFollowed(ctx, func(jobs []followedJob) (after []followedJob, changed bool) {
		after = slices.DeleteFunc(slices.Clone(jobs), func(k followedJob) bool { return k.Job == job.id })
		taken = len(after) < len(jobs)
		return after, taken
	})
	// Twice is better than not at all, but that is for the host that knows the end.
	if taken || !job.kept || err != nil && !job.elsewhere {
		ended(end)
	}
}

// lookAt reads a job, and reports whether it has ended.
func (a *Adapter) lookAt(ctx context.Context, end *JobEnd, elsewhere bool) bool {
	if swap := a.swapOf(end.ID); swap != nil {
		end.Swap = swap
		return !swap.Finished.IsZero()
	}
	job, err := a.Operations().Job(ctx, end.ID)
	if err == nil {
		end.Removal = job
		return job.State != logout.JobRunning
	}
	return errors.Is(err, ticketstore.ErrNotFound) && (!elsewhere || a.isOver(ctx, end.ID))
}

// isOver reports whether a job that another host alone knows of is to be followed no further: that host has
// told its end, or is not among those of the store any more. Which of several it was is not known, so that
// this host waits until it is alone.
func (a *Adapter) isOver(ctx context.Context, id string) bool {
	_, jobs, err := a.followed(ctx)
	if err != nil {
		return false
	}
	if !slices.ContainsFunc(jobs, func(job followedJob) bool { return job.Job == id }) {
		return true
	}
	description, err := a.Backend().Describe(ctx)
	return err == nil && len(description.Hosts) <= 1
}

// followed returns the jobs in the property, and its value.
func (a *Adapter) followed(ctx context.Context) (value []byte, jobs []followedJob, err error) {
	if value, err = a.property(ctx, followedProperty); err != nil || value == nil {
		return nil, nil, err
	}
	var kept followedJobs
	err = json.Unmarshal(value, &kept)
	return value, kept.Jobs, err
}

// changeFollowed changes the followed jobs, by compare-and-set.
func (a *Adapter) changeFollowed(
	ctx context.Context, change func(jobs []followedJob) (after []followedJob, changed bool),
) error {
	for range attempts {
		before, jobs, err := a.followed(ctx)
		if err != nil {
			return err
		}
		jobs, changed := change(jobs)
		if !changed {
			return nil
		}
		after, err := json.Marshal(followedJobs{Jobs: jobs, Writer: randomID()})
		if err != nil {
			return err
		}
		err = a.setProperty(ctx, followedProperty, before, after)
		if !errors.Is(err, ticketstore.ErrConflict) {
			return err
		}
	}
	return ticketstore.ErrConflict
}
