package logout

// Endings and sweeps: what ends, and what becomes of tokens, consents and clients (rules 1, 6 and 8).

import (
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Reason says why a session ended.
type Reason string

// The reasons.
const (
	UserLogout        Reason = "user_logout"
	SessionExpiration Reason = "session_expiration"
	Terminated        Reason = "terminated"
	SessionReplaced   Reason = "session_replaced"
)

// Ends returns the way of ending that the reason stands for.
func (r Reason) Ends() ticketstore.Ends {
	switch r {
	case UserLogout:
		return ticketstore.EndBySignOut
	case SessionExpiration:
		return ticketstore.EndByExpiry
	case Terminated:
		return ticketstore.EndByRemoval
	case SessionReplaced:
		return ticketstore.EndByReplacement
	}
	return 0
}

// MaxClientIDs bounds Ending.ClientIDs.
const MaxClientIDs = 1000

// Ending asks for sessions to end. Its zero flags end everything: the session, its tokens, its consents, and
// its clients are notified.
type Ending struct {
	// OperationID makes repeating the call safe: for grantstore.OperationRetention the same id gets the same
	// answer and changes nothing more. Required; choose 128 random bits or more.
	OperationID string
	// SubjectID, SessionID or both select what ends; both must match. One of them is required, or else All.
	//
	// By subject alone, the grants of the subject without a session, those that outlive a session, and all of
	// its consents are revoked too, whether or not a session is live. By session, the consents of its subject
	// to its clients are.
	SubjectID string
	SessionID string
	// All ends every session that exists when the ending begins, and revokes for every subject what an ending
	// by subject alone does. It excludes SubjectID and SessionID. It is always a job (see Store.End), except
	// in a dry run. Grants without a subject, such as those of client credentials, stay.
	All bool
	// ClientIDs narrows whose tokens and consents are revoked and which clients are notified (rule 6). Nil
	// means every client; an empty list is ticketstore.ErrInvalid.
	ClientIDs []string
	// Reason is what the clients' notifications and the ended record say. With SessionExpiration a session
	// that is live at now is left alone: it slid after it was found due.
	Reason Reason

	// KeepSession leaves the session live. Named ClientIDs that are notified, or have no URI to be notified
	// at, are detached from it.
	KeepSession bool
	// KeepTokens leaves tokens alone; where the session goes, they outlive it. Codes never do.
	KeepTokens bool
	// KeepOffline lets Offline refresh tokens, and what is issued for them from then on, outlive the session
	// although other tokens are revoked, access tokens issued before among them (Back-Channel Logout 1.0,
	// section 2.7). Those of a client that coordinates its lifetime with the session end with it nevertheless
	// (grantstore.Use.Coordinated).
	KeepOffline bool
	// KeepConsents leaves consents alone.
	KeepConsents bool
	// SkipNotification queues no notifications.
	SkipNotification bool
	// CoordinatedOnly notifies only clients whose activity keeps the session alive.
	CoordinatedOnly bool
	// Registered is what the clients have registered by now.
	Registered ticketstore.Registrations
	// AskRegistered does nothing yet, nor counts, if a client of the sessions is not among Registered:
	// Result.MissingClients asks for it.
	AskRegistered bool
	// DryRun counts what would be done and does nothing.
	DryRun bool
}

// Result counts what an Ending did or, with DryRun, would do.
type Result struct {
	SessionsRemoved int
	// GrantsRevoked counts tokens that were live until then (grantstore.Type.IsToken).
	GrantsRevoked       int
	ConsentsRevoked     int
	NotificationsQueued int
	// ClientsLeftAlone are the clients of the matched sessions that ClientIDs left out, sorted, each once.
	ClientsLeftAlone []string
	// Ended are the sessions removed, at most MaxEnded of them. SessionsRemoved is exact.
	Ended []EndedSession
	// JobID is set instead of the counts in the answer to an Ending of All: the job to look at.
	JobID string
	// MissingClients, unless empty: nothing was done, because Ending.AskRegistered is set and some of these
	// clients are not among Ending.Registered. The ending is to be repeated with all of them, at most
	// ticketstore.MaxRegistrations. They are sorted.
	MissingClients []string
}

// MaxEnded bounds Result.Ended.
const MaxEnded = 256

// EndedSession names a session that has ended.
type EndedSession struct {
	SessionID string
	SubjectID string
}

// Add adds the counts of other to r. It does not merge the lists.
func (r *Result) Add(other Result) {
	r.SessionsRemoved += other.SessionsRemoved
	r.GrantsRevoked += other.GrantsRevoked
	r.ConsentsRevoked += other.ConsentsRevoked
	r.NotificationsQueued += other.NotificationsQueued
}

// Validate refuses an ending that a store must not carry out, naming the field at fault.
func (e *Ending) Validate() error {
	if err := ticketstore.CheckID("operation_id", e.OperationID); err != nil {
		return err
	}
	switch {
	case e.All && (e.SubjectID != "" || e.SessionID != ""):
		return ticketstore.Invalidf("all", "excludes subject_id and session_id")
	// An expiry ends only what is due (rule 8), and all sessions never are.
	case e.All && e.Reason == SessionExpiration:
		return ticketstore.Invalidf("reason", "of an ending of all sessions cannot be that they have expired")
	case !e.All && e.SubjectID == "" && e.SessionID == "":
		return ticketstore.Invalidf("subject_id",
			"is missing, and so is session_id: name at least one, or say all")
	}
	if err := ticketstore.CheckText("subject_id", e.SubjectID, ticketstore.MaxID); err != nil {
		return err
	}
	if err := ticketstore.CheckText("session_id", e.SessionID, ticketstore.MaxID); err != nil {
		return err
	}
	switch e.Reason {
	case UserLogout, SessionExpiration, Terminated, SessionReplaced:
	default:
		return ticketstore.Invalidf("reason", "is not a reason for a session to end")
	}
	return errors.Join(e.validateClients(), e.Registered.Validate())
}

func (e *Ending) validateClients() error {
	// Rule 6: an empty list is an error, not "all". It is usually a selection that went wrong.
	if e.ClientIDs != nil && len(e.ClientIDs) == 0 {
		return ticketstore.Invalidf("client_ids", "is empty: leave it out to mean every client")
	}
	if len(e.ClientIDs) > MaxClientIDs {
		return ticketstore.Invalidf("client_ids", "has more than %d entries", MaxClientIDs)
	}
	for _, id := range e.ClientIDs {
		if id == "" {
			return ticketstore.Invalidf("client_ids", "has an empty entry")
		}
		if err := ticketstore.CheckID("client_ids", id); err != nil {
			return err
		}
	}
	return nil
}

// Sweep asks for sessions that are due to end.
type Sweep struct {
	// Limit bounds the sessions ended by one call.
	Limit int
	// KeepOffline and SkipNotification work as in Ending.
	KeepOffline      bool
	SkipNotification bool
	CoordinatedOnly  bool
	// Registered is what the clients have registered by now.
	Registered ticketstore.Registrations
	// AskRegistered leaves a session if a client of it is not among Registered: SweepResult.MissingClients
	// asks for it.
	AskRegistered bool
}

// Validate refuses a sweep without a bound.
func (s *Sweep) Validate() error {
	return errors.Join(ticketstore.CheckPositive("limit", s.Limit), s.Registered.Validate())
}

// SweepResult is the answer to a Sweep.
type SweepResult struct {
	Ended               int
	NotificationsQueued int
	// Sessions are those that were ended.
	Sessions []EndedSession
	// Next is when the next session falls due, as far as the index knows: a session that slid may turn out
	// not to be due then. Zero means that there is none.
	Next time.Time
	// PurgeLeft: records whose time is up were left, and another call takes more of them.
	PurgeLeft bool
	// MissingClients are all clients of sessions that were left because Sweep.AskRegistered is set and some
	// of them are not among Sweep.Registered. A sweep with all of these, at most
	// ticketstore.MaxRegistrations, ends at least one of the sessions.
	MissingClients []string
}
