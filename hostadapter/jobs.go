package hostadapter

import (
	"context"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

// JobKind says what a job does.
type JobKind string

// The kinds of jobs.
const (
	// JobRemoval is the removal of many sessions: all of them, or those of one subject.
	JobRemoval JobKind = "removal"
	// JobSwap is the move to another backend while the host serves.
	JobSwap JobKind = "swap"
)

// JobState is the state of a job.
type JobState string

// The states of a job. A removal that failed is taken up again when its backend is opened again.
const (
	JobRunning JobState = "running"
	JobDone    JobState = "done"
	JobFailed  JobState = "failed"
)

// Job is the progress of what takes longer than a request.
type Job struct {
	ID    string
	Kind  JobKind
	State JobState
	// Phase is what a job that is not done is at, in a word.
	Phase   string
	Started time.Time
	// Finished is when the job was done, zero where that is not known (yet).
	Finished time.Time
	// Total is how much there was to do when the job began, -1 where that is not known, and Done how much of it is done: sessions, or
	// for a swap all records.
	Total int
	Done  int
	// Removed counts what a removal has done so far. It is nil for other kinds.
	Removed *logout.Result
	// Swap is what else is known of a swap. It is nil for other kinds.
	Swap *SwapState
	// Error says why a job failed.
	Error string
}

// Job returns the progress of a job by its id. One that is done is kept for a day, a swap until the host ends; an unknown one
// is ticketstore.ErrNotFound.
func (a *Adapter) Job(ctx context.Context, id string) (*Job, error) {
	if swap, err := a.SwapByID(id); err == nil {
		return swap.job(), nil
	}
	found, err := a.config.Backend.Logout().Job(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("hostadapter: reading a job: %w", err)
	}
	return &Job{
		ID: found.ID, Kind: JobRemoval, State: JobState(found.State), Phase: found.Phase, Started: found.Started, Finished: found.Finished,
		Total: found.Total, Done: found.Done, Removed: &found.Result, Error: found.Error,
	}, nil
}
