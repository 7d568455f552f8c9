package client

// Jobs: removals of many, and swaps.

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"time"
)

// Job is work that outlasts a request.
type Job struct {
	ID string `json:"id"`
	// Kind is removal or swap. State is running, done or failed.
	Kind     string    `json:"kind"`
	State    string    `json:"state"`
	Phase    string    `json:"phase,omitempty"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	// Total is nil if unknown. Total and Done count sessions for a removal, records for a swap.
	Total *int `json:"total,omitempty"`
	Done  int  `json:"done"`
	// Result counts what a removal has done so far. Swap is the part about a swap.
	Result *Removed `json:"result,omitempty"`
	Swap   *Swap    `json:"swap,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// Swap is the part of a job that concerns a swap.
type Swap struct {
	From     string `json:"from"`
	To       string `json:"to"`
	SameData bool   `json:"same_data,omitempty"`
	// Left is how many records and changes remain to be copied.
	Left          int64   `json:"left"`
	Changed       int64   `json:"changed"`
	RatePerSecond float64 `json:"rate_per_second"`
	WritesHeldMS  float64 `json:"writes_held_ms,omitempty"`
}

// Running reports whether the job has not ended.
func (j *Job) Running() bool { return j.State == "running" }

// Job returns the progress of a job. It returns ErrNotFound for an unknown id.
func (c *Client) Job(ctx context.Context, id string) (*Job, error) {
	return get[Job](ctx, c, "/jobs/"+url.PathEscape(id), nil)
}

// Watch polls a job until it is done or failed. It stops at the first error, except that it keeps polling
// while the server is temporarily unavailable.
func (c *Client) Watch(ctx context.Context, id string) iter.Seq2[*Job, error] {
	return func(yield func(*Job, error) bool) {
		for {
			job, err := c.Job(ctx, id)
			switch {
			case errors.Is(err, ErrUnavailable) && ctx.Err() == nil:
			case err != nil:
				yield(nil, err)
				return
			case !yield(job, nil) || !job.Running():
				return
			}
			select {
			case <-time.After(c.pollEvery):
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}
