package logout

import (
	"cmp"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Retry windows and retention.
const (
	// RetryWindow is how long after it was queued, or sent again by an operator, a notice is tried.
	RetryWindow = 24 * time.Hour
	// RecentUse: a client that got tokens within this time before the end is told twice, because its sign-in
	// may not have been finished when the first notice came.
	RecentUse = 10 * time.Second
	// SecondDelivery is how long after the end such a client is told again.
	SecondDelivery = 15 * time.Second
	// NotificationRetention is how long a notice is kept after its last change of state.
	NotificationRetention = 7 * 24 * time.Hour
	// MaxLastError bounds Notification.LastError in bytes; a longer one is cut.
	MaxLastError = 512
)

// State is the state of a notice.
type State string

// The states. A pending notice is waiting or on its way; the others are final until an operator has it sent
// again.
const (
	Pending   State = "pending"
	Delivered State = "delivered" // the client answered 200 or 204
	Refused   State = "refused"   // the client answered 400
	GivenUp   State = "given_up"  // the retry window closed
)

// Notification is one client's notice of the end of one session.
type Notification struct {
	// ID is assigned by the store, unique, and sorts by the time of queueing.
	ID        string
	Issuer    string
	ClientID  string
	SubjectID string
	SessionID string
	Reason    Reason
	State     State
	// Queued is when the session ended.
	Queued time.Time
	// Attempts counts deliveries tried since the notice was queued or sent again.
	Attempts int
	// NextAttempt is when a pending notice is due.
	NextAttempt time.Time
	// GiveUpAt is when the retry window closes.
	GiveUpAt time.Time
	// LastAttempt is when the last answer was recorded. LastError is what was wrong with it; empty after a
	// success.
	LastAttempt time.Time
	LastError   string
	// Again is when the client is told a second time. Zero means never, or that it has been.
	Again time.Time
}

// Claim asks for notices to deliver.
type Claim struct {
	// Limit bounds the notices handed out, and PerClient those of one client.
	Limit     int
	PerClient int
	// Busy are clients to pass over.
	Busy []string
	// Lease is how long the claims hold: longer than a delivery can take. A notice not settled by then is
	// handed out again.
	Lease time.Duration
}

// Validate refuses a claim that hands out nothing or forever.
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
	// Next is when the next notice falls due, of any client: those claimed and those passed over as busy are
	// counted by the end of their lease and their due time. Zero means that the queue is empty.
	Next time.Time
}

// Delivery is a notice handed out for delivery under a claim number.
type Delivery struct {
	Notification
	// Claim is the number to report under. It rises with every claim of the notice.
	Claim uint64
}

// Outcome is the answer of a client, or what became of the attempt to get one.
type Outcome struct {
	// State is Delivered, Refused, GivenUp, or Pending to try again at NextAttempt.
	State       State
	NextAttempt time.Time
	// LastError says what was wrong. It holds no secret and nothing of the answer's body but its error code.
	LastError string
}

// Validate refuses an outcome that no delivery can have.
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
	return ticketstore.Invalidf("state", "is not a state of a notice")
}

// Retry asks for notices to be sent again: the one with that ID, or those that the filter selects.
type Retry struct {
	ID string
	// Filter selects notices where there is no ID. At least one condition is required.
	Filter NotificationFilter
	// Limit bounds the notices that one call with a filter looks at: 1 to ticketstore.MaxCount.
	Limit int
	// After has the call go on behind the notice with that id: RetryResult.Next of the call before.
	After string
}

// RetryResult is the answer to a Retry.
type RetryResult struct {
	// Notification is the notice with the ID as it is then. It is nil in the answer to a filter.
	Notification *Notification
	// Count is how many notices will be sent again.
	Count int
	// Next is where the next call goes on. Empty means that all have been looked at.
	Next string
}

// Validate refuses a retry of nothing, or of everything by mistake.
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
			"and client_id and session_id are all missing: name at least one")
	case r.Limit <= 0 || r.Limit > ticketstore.MaxCount:
		return ticketstore.Invalidf("limit", "is outside 1 to %d", ticketstore.MaxCount)
	}
	return cmp.Or(r.Filter.Validate(), ticketstore.CheckText("after", r.After, ticketstore.MaxID))
}

// NotificationFilter selects notices. Its conditions AND together; a zero field is no condition.
type NotificationFilter struct {
	State     State
	ClientID  string
	SessionID string
}

// NotificationQuery asks for a page of notices in the order of their queueing. Its fields work as those of
// ticketstore.SessionQuery.
type NotificationQuery struct {
	Filter       NotificationFilter
	Order        ticketstore.Order
	Count        int
	ResultsToken string
	Prior        bool
}

// NotificationPage is the answer to a NotificationQuery.
type NotificationPage struct {
	Notifications []Notification
	ResultsToken  string
	HasPrev       bool
	HasNext       bool
}

// ListingNotifications names the listing of notices in results tokens.
const ListingNotifications = "deliveries"

// Walk checks the query and takes its results token apart. Its errors are *ticketstore.FieldError.
func (q NotificationQuery) Walk() (*ticketstore.Walk[NotificationFilter], error) {
	if err := q.Filter.Validate(); err != nil {
		return nil, err
	}
	request := ticketstore.PageRequest{
		Order: q.Order, Count: q.Count, ResultsToken: q.ResultsToken, Prior: q.Prior,
	}
	return ticketstore.ResumeWalk(ListingNotifications, request, q.Filter, keepFilter)
}

// Validate refuses conditions that no notice can meet by their form.
func (f *NotificationFilter) Validate() error {
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

func keepFilter(f *NotificationFilter, kept NotificationFilter) error {
	if kept.Validate() != nil {
		return ticketstore.Invalidf(ticketstore.FieldResultsToken, "is malformed")
	}
	return cmp.Or(
		ticketstore.KeepSame(&f.State, kept.State),
		ticketstore.KeepSame(&f.ClientID, kept.ClientID),
		ticketstore.KeepSame(&f.SessionID, kept.SessionID),
	)
}
