package logout

import (
	"context"
	"time"
)

// Store ends sessions and keeps the queue of notices. Implementations are safe for concurrent use and read no
// clock: every moment is passed in as now. Every method may return ticketstore.ErrUnavailable, and
// ticketstore.ErrInvalid for a request that is wrong in itself.
type Store interface {
	// End ends what the ending selects, durably before it returns, and counts it. Each session ends in one
	// bounded transaction that replaces it by its ended record and queues its notices, together or not at
	// all; from then on all of its grants are judged by that record. Several sessions end one by one under a
	// job that is written first and resumed after a crash. Sessions that begin while it runs may be left.
	// Nothing matched is a zero Result and no error: so is ending what another call has ended first.
	//
	// With All it returns as soon as the job is written, with nothing but the JobID; ErrBusy while another
	// ending of all is under way. A dry run of All counts, and so takes as long as looking at every session
	// does.
	End(ctx context.Context, ending *Ending, now time.Time) (*Result, error)

	// EndDue ends sessions that are over at now, with reason session_expiration, at most sweep.Limit of them,
	// each after checking in its own transaction that it is still due. It also purges ended records, jobs and
	// notices whose time is up, a bounded number of each, and says whether any were left. Concurrent sweeps
	// end each session once. A sweep that fails half-way is no error: it tells what it ended, and that the
	// next one is due now.
	EndDue(ctx context.Context, sweep Sweep, now time.Time) (*SweepResult, error)

	// Claim hands out due notices, each under a new claim number and to one caller at a time until its lease
	// has passed. Clients named busy are passed over, at a cost that does not grow with the length of their
	// queue, and each client has its turn.
	Claim(ctx context.Context, claim Claim, now time.Time) (*ClaimResult, error)

	// Settle records the outcome of a delivery under its claim number. ErrOutdated if the notice has been
	// claimed again, settled, or sent again since; ticketstore.ErrNotFound if it is gone. A Delivered notice
	// with a time to tell the client Again goes back to Pending until then.
	Settle(ctx context.Context, id string, claim uint64, outcome Outcome, now time.Time) error

	// Notifications returns a page of notices.
	Notifications(ctx context.Context, query NotificationQuery) (*NotificationPage, error)

	// Retry makes notices due now, with a new retry window. The one named by its id is, whatever its state,
	// and a claim on it becomes outdated; an unknown one is ticketstore.ErrNotFound. Of those selected by a
	// filter, pending ones that are due or being delivered are left as they are, and so are those queued
	// after now. Nothing matched is no error. A crash between two batches leaves the rest as it was.
	Retry(ctx context.Context, retry Retry, now time.Time) (*RetryResult, error)

	// Job returns the progress of an ending: of one under way, and of one that was a job for JobRetention
	// after its end. Endings of All and by subject alone always are, one by session where it leaves much to
	// purge. Any other id is ticketstore.ErrNotFound.
	Job(ctx context.Context, id string) (*Job, error)
}
