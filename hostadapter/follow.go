package hostadapter

// Followed jobs: the note stored at the start of a job is available when it ends, even if a different host,
// or the next run of this one, sees its end.

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
	// followedProperty is the property that holds the followed jobs.
	followedProperty = "followed_jobs"
	// maxFollowed bounds the jobs in the property: few jobs run at a time, and those of a stopped host are
	// taken over. A job beyond the limit is followed by its host alone; evicting a recorded job would lose
	// its end.
	maxFollowed = 4
	// MaxJobNote bounds the note of a job, in bytes. All notes together fit into ticketstore.MaxProperty.
	MaxJobNote = 512
	// firstFollowPause and followPause are the first and the longest interval between polls of a job;
	// swapGrace is how long Close waits for an aborted swap to report its end.
	firstFollowPause, followPause, swapGrace = 50 * time.Millisecond, time.Second, 5 * time.Second
)

// JobEnd is the end of a job.
type JobEnd struct {
	ID string
	// Note is the note stored at the start of the job.
	Note []byte
	// Removal or Swap is the final state of the job. Both are nil if it is unknown, as for a swap whose host
	// was killed.
	Removal *logout.Job
	Swap    *SwapState
}

// followedJobs is the value of the property. Writer makes each value unique: SetProperty accepts an equal
// value as a repeated call, but if two hosts remove a job, one of them must fail.
type followedJobs struct {
	Jobs   []followedJob `json:"jobs"`
	Writer string        `json:"writer"`
}

// followedJob is a job in the property. Its note is sealed: the store must not learn or forge who started it.
type followedJob struct {
	Job  string `json:"job"`
	Note []byte `json:"note"`
	// Here is set if only the host that started the job can learn its end, as for a swap, which then has
	// Began.
	Here  bool      `json:"here,omitempty"`
	Began time.Time `json:"began,omitzero"`
}

const jobNotePurpose = "job note"

// FollowJob calls ended when the job with the id, a removal of all or a swap, has ended. The note, at most
// MaxJobNote bytes, is kept in the store, so that ResumeJobs can call ended if this host stops before the job
// does. ended is called once, or not at all if the host is killed just then.
func (o *Operations) FollowJob(ctx context.Context, id string, note []byte, ended func(*JobEnd)) {
	a := o.adapter
	note = note[:min(len(note), MaxJobNote)]
	sealed := a.ring.seal(jobNotePurpose, []byte(id), note)
	noted := followedJob{Job: id, Note: sealed}
	swap := a.swapOf(id)
	if swap != nil {
		noted.Here, noted.Began = true, swap.Started
	}
	follow := func(kept bool) { a.follow(followed{id: id, note: note, kept: kept}, ended) }
	if swap != nil && swap.Upgrade {
		// It holds this write too: its caller is answered before it is over.
		a.inBackground(func() { follow(a.keepFollowed(context.WithoutCancel(ctx), noted)) })
		return
	}
	kept := a.keepFollowed(ctx, noted)
	a.inBackground(func() { follow(kept) })
}

// keepFollowed stores a followed job, and reports whether it is stored. One that is not ends with this host.
func (a *Adapter) keepFollowed(ctx context.Context, job followedJob) (kept bool) {
	err := a.changeFollowed(ctx, func(jobs []followedJob) (after []followedJob, changed bool) {
		if kept = len(jobs) < maxFollowed; kept {
			jobs = append(jobs, job)
		}
		return jobs, kept
	})
	if kept = kept && err == nil; !kept {
		a.config.Logger.WarnContext(ctx, "the job could not be recorded, only this host follows it",
			"job", job.Job, "error", err)
	}
	return kept
}

// ResumeJobs does what FollowJob does for the jobs of stopped hosts. If several hosts follow a job, one of
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
			if !a.sleep(pause) {
				return
			}
		}
		for _, job := range jobs {
			note, err := a.unseal(jobNotePurpose, []byte(job.Job), job.Note)
			notify := ended
			if err != nil { // not authentic, but its slot must be freed
				notify = func(*JobEnd) {}
			}
			a.inBackground(func() {
				a.follow(followed{id: job.Job, note: note, kept: true, elsewhere: job.Here}, notify)
			})
		}
	})
}

// inBackground runs a function that returns when the adapter closes, unless it is closed already.
func (a *Adapter) inBackground(run func()) {
	a.swaps.mu.Lock()
	defer a.swaps.mu.Unlock()
	if !a.swaps.closed() {
		a.swaps.ended.Go(run)
	}
}

// sleep pauses, and returns false if the adapter closes meanwhile.
func (a *Adapter) sleep(pause time.Duration) bool {
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
	// kept: the job is in the property. elsewhere: only the host that started the job can learn its end.
	kept, elsewhere bool
}

// follow polls a job until it ends. It calls ended if this host removed the job from the property:
// SetProperty lets only one host do so.
func (a *Adapter) follow(job followed, ended func(*JobEnd)) {
	ctx := context.Background()
	end := &JobEnd{ID: job.id, Note: job.note}
	var closed time.Time
	for pause := firstFollowPause; !a.pollJob(ctx, end, job.elsewhere); pause = min(2*pause, followPause) {
		switch {
		case a.sleep(pause):
			continue
		case end.Swap == nil:
			return // the removal continues, and the next host follows it
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
	// If in doubt, the host that knows the outcome calls ended a second time rather than never.
	if taken || !job.kept || err != nil && !job.elsewhere {
		ended(end)
	}
}

// pollJob polls a job, and reports whether it has ended.
func (a *Adapter) pollJob(ctx context.Context, end *JobEnd, elsewhere bool) bool {
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

// isOver reports whether to stop following a job whose end only the host that started it can learn: that host
// has reported the end, or is no longer a host of the store. Since the job does not record which host that
// is, it is considered gone only when this host is alone.
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

// followed returns the jobs in the property, and the property's value.
func (a *Adapter) followed(ctx context.Context) (value []byte, jobs []followedJob, err error) {
	if value, err = a.property(ctx, followedProperty); err != nil || value == nil {
		return nil, nil, err
	}
	var kept followedJobs
	err = json.Unmarshal(value, &kept)
	return value, kept.Jobs, err
}

// changeFollowed changes the property by compare-and-set.
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
