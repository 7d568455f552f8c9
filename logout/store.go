package logout

// The Store interface: endings, and the queue of notifications.

import (
	"context"
	"time"
)

// Store ends sessions and keeps the queue of notifications (rules 1, 6, 7 and 8). Implementations are safe
// for concurrent use and read no clock: the current time is passed in as now. Every method may return
// ticketstore.ErrUnavailable, and ticketstore.ErrInvalid for a request that is itself invalid.
type Store interface {
	// End ends the sessions that the ending selects, durably before it returns, and counts what it did. Each
	// session ends in one bounded transaction that replaces it by its ended record and queues its
	// notifications, atomically; from then on its grants are judged by that record. Several sessions end one
	// by one under a job that is written first and resumed after a crash. Sessions that begin while it runs
	// may remain. If nothing matches, or another call was first, the Result is zero and there is no error.
	//
	// With All it returns as soon as the job is written, and the Result has only its JobID. It returns
	// ErrBusy while another ending of all sessions is running. A dry run of All reads every session.
	End(ctx context.Context, ending *Ending, now time.Time) (*Result, error)

	// EndDue ends sessions that are over at now, with reason session_expiration, at most sweep.Limit of them,
	// each after checking in its own transaction that it is still due. It also purges ended records, jobs and
	// notifications that are due, a bounded number of each, and reports whether any are left. Concurrent
	// sweeps end each session once. A sweep that fails after it has ended some sessions returns these without
	// an error, with Next set to now.
	EndDue(ctx context.Context, sweep Sweep, now time.Time) (*SweepResult, error)

	// Claim hands out due notifications, each under a new claim number and to one caller at a time until its
	// lease has passed. It skips busy clients, at a cost that does not grow with the length of their queues,
	// and serves clients round robin.
	Claim(ctx context.Context, claim Claim, now time.Time) (*ClaimResult, error)

	// Settle records the outcome of a delivery under its claim number. It returns ErrOutdated if the
	// notification has since been claimed again, settled, or retried, and ticketstore.ErrNotFound if it no
	// longer exists. A Delivered notification with Again set becomes Pending until then.
	Settle(ctx context.Context, id string, claim uint64, outcome Outcome, now time.Time) error

	// Notifications returns a page of notifications.
	Notifications(ctx context.Context, query NotificationQuery) (*NotificationPage, error)

	// Retry makes notifications due now, with a new retry window. With an id it applies to any state and
	// outdates a claim; an unknown id is ticketstore.ErrNotFound. With a filter it leaves pending
	// notifications that are due or in flight, and notifications queued after now. Matching nothing is not an
	// error. A crash between two batches leaves the rest unchanged.
	Retry(ctx context.Context, retry Retry, now time.Time) (*RetryResult, error)

	// Job returns the progress of an ending: of a running one, and for JobRetention of a finished one that
	// was a job. Endings of All and by subject alone are always jobs; an ending by session is one if it
	// leaves much to purge. Any other id is ticketstore.ErrNotFound.
	Job(ctx context.Context, id string) (*Job, error)
}
