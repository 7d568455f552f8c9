package logout

// The Store interface: endings, and the queue of notifications.

import (
	"context"
	"time"
)

// Store ends sessions and keeps the queue of notifications (rules 1, 6, 7 and 8). Implementations are safe
// for concurrent use and read no clock: every moment is passed in as now. Every method may return
// ticketstore.ErrUnavailable, and ticketstore.ErrInvalid for a request that is wrong in itself.
type Store interface {
	// End ends what the ending selects, durably before it returns, and counts it. Each session ends in one
	// bounded transaction that replaces it by its ended record and queues its notifications, together or not
	// at all; from then on its grants are judged by that record. Several sessions end one by one under a job
	// that is written first and resumed after a crash. Sessions that begin while it runs may remain. Nothing
	// matched is a zero Result and no error, also when another call has ended it first.
	//
	// With All it returns as soon as the job is written, with nothing but the JobID; ErrBusy while another
	// ending of all is under way. A dry run of All reads every session.
	End(ctx context.Context, ending *Ending, now time.Time) (*Result, error)

	// EndDue ends sessions that are over at now, with reason session_expiration, at most sweep.Limit of them,
	// each after checking in its own transaction that it is still due. It also purges ended records, jobs and
	// notifications whose time is up, a bounded number of each, and reports whether any were left. Concurrent
	// sweeps end each session once. A sweep that fails after it has ended some is no error: it returns those,
	// with Next now.
	EndDue(ctx context.Context, sweep Sweep, now time.Time) (*SweepResult, error)

	// Claim hands out due notifications, each under a new claim number and to one caller at a time until its
	// lease has passed. Busy clients are passed over, at a cost that does not grow with the length of their
	// queue, and clients are served round robin.
	Claim(ctx context.Context, claim Claim, now time.Time) (*ClaimResult, error)

	// Settle records the outcome of a delivery under its claim number. ErrOutdated if the notification has
	// been claimed again, settled, or sent again since; ticketstore.ErrNotFound if it is gone. A Delivered
	// notification with Again set becomes Pending until then.
	Settle(ctx context.Context, id string, claim uint64, outcome Outcome, now time.Time) error

	// Notifications returns a page of notifications.
	Notifications(ctx context.Context, query NotificationQuery) (*NotificationPage, error)

	// Retry makes notifications due now, with a new retry window. With an id it applies to any state, and a
	// claim becomes outdated; an unknown one is ticketstore.ErrNotFound. Of those selected by a filter,
	// pending ones that are due or being delivered are left, and so are those queued after now. Nothing
	// matched is no error. A crash between two batches leaves the rest unchanged.
	Retry(ctx context.Context, retry Retry, now time.Time) (*RetryResult, error)

	// Job returns the progress of an ending: of one under way, and of one that was a job for JobRetention
	// after its end. Endings of All and by subject alone always are, one by session where it leaves much to
	// purge. Any other id is ticketstore.ErrNotFound.
	Job(ctx context.Context, id string) (*Job, error)
}
