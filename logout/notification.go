package logout

// Notifications: the records of the queue, and the requests to claim, settle, retry and list them (rule 7).

import (
	"cmp"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Retry windows and retention.
const (
	// RetryWindow is how long delivery is attempted after a notification was queued or retried by an
	// operator. If no host claimed it within that time, the window begins with the first claim.
	RetryWindow = 24 * time.Hour
	// RecentUse: a client that got tokens within this time before the end is notified twice, because its
	// sign-in may have been incomplete at the first delivery (rule 7).
	RecentUse = 10 * time.Second
	// SecondDelivery is how long after the end such a client is notified again.
	SecondDelivery = 15 * time.Second
	// NotificationRetention is how long a notification is kept after its last change of state.
	NotificationRetention = 7 * 24 * time.Hour
	// MaxLastError bounds Notification.LastError in bytes; a longer text is truncated.
	MaxLastError = 512
)

// State is the state of a notification.
type State string

// The states. A pending notification is queued or in flight; the other states are final until an operator
// retries it.
const (
	Pending   State = "pending"
	Delivered State = "delivered" // the client answered 200 or 204
	// Refused: the client answered 400, with an OAuth error or BadRequestAttempts times without one.
	Refused State = "refused"
	GivenUp State = "given_up" // the retry window closed
)

// Notification is the message to one client about the end of one session.
type Notification struct {
	// ID is assigned by the store, unique, and sorts by queueing time.
	ID        string
	Issuer    string
	ClientID  string
	SubjectID string
	SessionID string
	Reason    Reason
	State     State
	// Queued is when the session ended.
	Queued time.Time
	// Attempts counts deliveries since the notification was queued or retried.
	Attempts int
	// NextAttempt is when a pending notification is due.
	NextAttempt time.Time
	// GiveUpAt is when the retry window closes.
	GiveUpAt time.Time
	// LastAttempt is when the last outcome was recorded, LastError its error; empty after a success.
	LastAttempt time.Time
	LastError   string
	// Again is when the client is notified a second time. Zero if never, or if done.
	Again time.Time
}

// Claim asks for notifications to deliver.
type Claim struct {
	// Limit bounds the notifications handed out, PerClient those of one client.
	Limit     int
	PerClient int
	// Busy are the clients to skip.
	Busy []string
	// Lease is how long the claims are held: longer than a delivery can take. A notification not settled by
	// then is handed out again.
	Lease time.Duration
}

// Validate returns an error if a bound or the lease is missing.
func (c *Claim) Validate() error {
	switch {
	case c.Limit <= 0 || c.Limit > ticketstore.MaxCount:
		return ticketstore.Invalidf("limit", "is outside 1 to %d", ticketstore.MaxCount)
	case c.PerClient <= 0:
		return ticketstore.Invalidf("per_client", "is not positive")
	case c.Lease <= 0:
		return ticketstore.Invalidf("lease", "is not positive")
	}
	return nil
}

// ClaimResult is the answer to a Claim.
type ClaimResult struct {
	Deliveries []Delivery
	// Next is when the next notification of any client falls due: a claimed one when its lease ends, a
	// skipped one at its due time. Zero if the queue is empty.
	Next time.Time
}

// Delivery is a claimed notification with its claim number.
type Delivery struct {
	Notification
	// Claim is the number to settle with. It rises with every claim of the notification.
	Claim uint64
}

// Outcome is the result of a delivery.
type Outcome struct {
	// State is Delivered, Refused, GivenUp, or Pending to retry at NextAttempt.
	State       State
	NextAttempt time.Time
	// LastError describes the problem. It holds no secret, and of the response body only the error code.
	LastError string
}

// Validate returns an error for an outcome that no delivery can have.
func (o *Outcome) Validate() error {
	switch o.State {
	case Delivered, Refused, GivenUp:
		return nil
	case Pending:
		if o.NextAttempt.IsZero() {
			return ticketstore.Invalidf("next_attempt", "is not set")
		}
		return nil
	}
	return ticketstore.Invalidf("state", "is not a state of a notification")
}

// Retry asks to send notifications again: the one with the ID, or those that the filter selects.
type Retry struct {
	ID string
	// Filter selects notifications if ID is empty. At least one condition is required.
	Filter NotificationFilter
	// Limit bounds the notifications that one call with a filter examines: 1 to ticketstore.MaxCount.
	Limit int
	// After continues after the notification with that id: it is RetryResult.Next of the previous call.
	After string
}

// RetryResult is the answer to a Retry.
type RetryResult struct {
	// Notification is the one with the ID, after the retry. Nil in the answer to a filter.
	Notification *Notification
	// Count is how many notifications will be sent again.
	Count int
	// Next is where the next call continues. Empty when all have been examined.
	Next string
}

// Validate returns an error if both id and filter are missing: it would retry everything.
func (r *Retry) Validate() error {
	if r.ID != "" {
		if r.Filter != (NotificationFilter{}) || r.After != "" {
			return ticketstore.Invalidf("id", "excludes a filter")
		}
		return ticketstore.CheckID("id", r.ID)
	}
	switch {
	case r.Filter == NotificationFilter{}:
		return ticketstore.Invalidf("state",
			"is missing, and so are client_id and session_id: name at least one")
	case r.Limit <= 0 || r.Limit > ticketstore.MaxCount:
		return ticketstore.Invalidf("limit", "is outside 1 to %d", ticketstore.MaxCount)
	}
	return cmp.Or(r.Filter.Validate(), ticketstore.CheckText("after", r.After, ticketstore.MaxID))
}

// NotificationFilter selects notifications. Its conditions AND together; a zero field is no condition.
type NotificationFilter struct {
	State     State
	ClientID  string
	SessionID string
}

// NotificationQuery asks for a page of notifications, ordered by queueing time.
type NotificationQuery = ticketstore.Query[NotificationFilter]

// NotificationPage is the answer to a NotificationQuery.
type NotificationPage struct {
	Notifications []Notification
	ResultsToken  string
	HasPrev       bool
	HasNext       bool
}

// Listing implements ticketstore.Filter.
func (NotificationFilter) Listing() string { return "deliveries" }

// Validate implements ticketstore.Filter.
func (f NotificationFilter) Validate() error {
	switch f.State {
	case "", Pending, Delivered, Refused, GivenUp:
	default:
		return ticketstore.Invalidf("state", "is none of pending, delivered, refused, given_up")
	}
	return cmp.Or(
		ticketstore.CheckText("client_id", f.ClientID, ticketstore.MaxID),
		ticketstore.CheckText("session_id", f.SessionID, ticketstore.MaxID),
	)
}
