package client

// Jobs: removals of many, and swaps.

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"time"
)

// Job is what takes longer than a request.
type Job struct {
	ID string `json:"id"`
	// Kind is removal or swap, State running, done or failed.
	Kind     string    `json:"kind"`
	State    string    `json:"state"`
	Phase    string    `json:"phase,omitempty"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	// Total is nil where it is not known. It and Done count sessions of a removal, records of a swap.
	Total *int `json:"total,omitempty"`
	Done  int  `json:"done"`
	// Result is what a removal has done so far, Swap is that of a swap.
	Result *Removed `json:"result,omitempty"`
	Swap   *Swap    `json:"swap,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// Swap is the part of a job about a swap.
type Swap struct {
	From     string `json:"from"`
	To       string `json:"to"`
	SameData bool   `json:"same_data,omitempty"`
	// Left is how many records and changes are still to be copied.
	Left          int64   `json:"left"`
	Changed       int64   `json:"changed"`
	RatePerSecond float64 `json:"rate_per_second"`
	WritesHeldMS  float64 `json:"writes_held_ms,omitempty"`
}

// Running reports whether the job has not come to its end.
func (j *Job) Running() bool { return j.State == "running" }

// Job returns how far a job is. An unknown one is ErrNotFound.
func (c *Client) Job(ctx context.Context, id string) (*Job, error) {
	return get[Job](ctx, c, "/jobs/"+url.PathEscape(id), nil)
}

// Watch asks about a job again and again, until it is done or failed. It ends with the first error, but goes
// on where the server is unavailable for a while.
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
