package logout

import (
	"context"
	"time"
)

// Store ends sessions and keeps the queue of notices. Implementations are safe for concurrent use and read no clock: every moment is
// passed in as now. Every method may return ErrUnavailable, and ErrInvalid for a request that is wrong in itself.
type Store interface {
	// End ends what the ending selects, durably before it returns, and counts it. Each session ends in one bounded transaction that
	// replaces it by its ended record and queues its notices, together or not at all; from then on all of its grants are judged by that
	// record. Several sessions end one by one under a job that is written first and resumed after a crash. Sessions that begin while
	// it runs may be left. Nothing matched is a zero Result and no error: so is ending what another call has ended first.
	End(ctx context.Context, ending *Ending, now time.Time) (*Result, error)

	// EndDue ends sessions that are over at now, with reason session_expiration, at most sweep.Limit of them, each after checking in its
	// own transaction that it is still due. It also purges ended records and notices whose time is up. Concurrent sweeps end each
	// session once.
	EndDue(ctx context.Context, sweep Sweep, now time.Time) (*Swept, error)

	// Claim hands out due notices, each under a new claim number and to one caller at a time until its lease has passed. Clients named busy
	// are passed over, at a cost that does not grow with the length of their queue, and each client has its turn.
	Claim(ctx context.Context, claim Claim, now time.Time) (*Claimed, error)

	// Settle records the outcome of a delivery under its claim number. ErrOutdated if the notice has been claimed again, settled, or
	// sent again since; ErrNotFound if it is gone. A Delivered notice with a time to tell the client Again goes back to Pending until then.
	Settle(ctx context.Context, id string, claim uint64, outcome Outcome, now time.Time) error

	// Deliveries returns a page of notices.
	Deliveries(ctx context.Context, query DeliveryQuery) (*DeliveryPage, error)

	// Retry makes a notice due now, whatever its state, with a new retry window, and returns it. A claim on it becomes outdated. An
	// unknown one is ErrNotFound.
	Retry(ctx context.Context, id string, now time.Time) (*Notification, error)
}
