package logout

// Endings and sweeps: which sessions end, and what happens to tokens, consents and clients (rules 1, 6 and
// 8).

import (
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Reason is the reason why a session ended.
type Reason string

// The reasons.
const (
	UserLogout        Reason = "user_logout"
	SessionExpiration Reason = "session_expiration"
	Terminated        Reason = "terminated"
	SessionReplaced   Reason = "session_replaced"
)

// Ends returns the way of ending for the reason.
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

// Ending asks to end sessions. With zero flags everything is removed: sessions, tokens and consents, and the
// clients are notified.
type Ending struct {
	// OperationID makes the call idempotent: for grantstore.OperationRetention a call with the same id gets
	// the same answer and changes nothing more. An ending by SessionID that found nothing to end is not
	// recorded. Required; use at least 128 random bits.
	OperationID string
	// SubjectID, SessionID or both select sessions; if both are set both must match. One of them is required,
	// unless All is set.
	//
	// By subject alone, the subject's grants without a session, the grants that outlive a session, and all of
	// its consents are revoked too, even if no session is live. By session, the subject's consents to the
	// session's clients are revoked.
	SubjectID string
	SessionID string
	// All ends every session that exists when the ending begins, and revokes for every subject what an ending
	// by subject alone does. It excludes SubjectID and SessionID. It is always a job (see Store.End), except
	// in a dry run. Grants without a subject, such as those of client credentials, are kept.
	All bool
	// AsOf is when the ending begins, for grants that no session judges: later ones are kept. It is later
	// than now if such a grant was stored by a clock that is or was ahead: then grants that come while the
	// ending runs go too. Zero is now.
	AsOf time.Time
	// ClientIDs narrows whose tokens and consents are revoked and which clients are notified (rule 6). Nil
	// means every client; an empty list is ticketstore.ErrInvalid.
	ClientIDs []string
	// Reason is recorded in the notifications and in the ended record. With SessionExpiration a session that
	// is live at now is left: it was renewed after it was found due.
	Reason Reason

	// KeepSession leaves the session live. The clients in ClientIDs that are notified, or have no URI to be
	// notified at, are detached from it.
	KeepSession bool
	// KeepTokens keeps tokens; if the session ends, they outlive it. Codes never do.
	KeepTokens bool
	// KeepOffline lets Offline refresh tokens, and tokens issued for them from then on, outlive the session
	// although other tokens are revoked, including access tokens issued before (Back-Channel Logout 1.0,
	// section 2.7). Those of a client that coordinates its lifetime with the session still end with it
	// (grantstore.Use.Coordinated).
	KeepOffline bool
	// KeepConsents keeps consents.
	KeepConsents bool
	// SkipNotification queues no notifications.
	SkipNotification bool
	// CoordinatedOnly notifies only clients whose activity keeps the session alive.
	CoordinatedOnly bool
	// Registered holds the current registrations of the clients.
	Registered ticketstore.Registrations
	// AskRegistered makes the call return without changing or counting anything if a client of the sessions
	// is missing from Registered: Result.MissingClients lists the clients to look up.
	AskRegistered bool
	// DryRun counts what would be done without doing it.
	DryRun bool
}

// Result counts what an Ending did or, with DryRun, would do.
type Result struct {
	SessionsRemoved int
	// GrantsRevoked counts tokens that were live until now (grantstore.Type.IsToken).
	GrantsRevoked       int
	ConsentsRevoked     int
	NotificationsQueued int
	// ClientsLeftAlone are the clients of the matched sessions that ClientIDs left out, sorted, each once: at
	// most the first MaxLeftAlone.
	ClientsLeftAlone []string
	// Ended are the sessions removed, at most MaxEnded of them. SessionsRemoved is exact.
	Ended []EndedSession
	// JobID is set instead of the counts in the answer to an Ending of All: see Store.Job.
	JobID string
	// MissingClients, unless empty, means that nothing was done, because Ending.AskRegistered is set and some
	// of these clients are missing from Ending.Registered. Repeat the ending with all of them, at most
	// ticketstore.MaxRegistrations. The list is sorted.
	MissingClients []string
}

// MaxEnded bounds Result.Ended.
const MaxEnded = 256

// MaxLeftAlone bounds Result.ClientsLeftAlone: a server may have a client for each installation of an app.
const MaxLeftAlone = 4096

// EndedSession identifies a session that has ended.
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

// Validate returns an error that names the field at fault if a store must not carry out the ending.
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

// Sweep asks to end sessions that are due.
type Sweep struct {
	// Limit bounds the sessions ended by one call.
	Limit int
	// KeepOffline and SkipNotification work as in Ending.
	KeepOffline      bool
	SkipNotification bool
	CoordinatedOnly  bool
	// Registered holds the current registrations of the clients.
	Registered ticketstore.Registrations
	// AskRegistered skips a session if one of its clients is missing from Registered:
	// SweepResult.MissingClients lists the clients to look up.
	AskRegistered bool
}

// Validate returns an error if Limit is below one or Registered is invalid.
func (s *Sweep) Validate() error {
	return errors.Join(ticketstore.CheckPositive("limit", s.Limit), s.Registered.Validate())
}

// SweepResult is the answer to a Sweep.
type SweepResult struct {
	Ended               int
	NotificationsQueued int
	// Sessions are the sessions that were ended.
	Sessions []EndedSession
	// Next is when the next session falls due according to the index: a session that was renewed may turn out
	// not to be due then. Zero if there is none.
	Next time.Time
	// PurgeLeft reports whether due records are left to purge by another call.
	PurgeLeft bool
	// MissingClients are all clients of the sessions that were skipped because Sweep.AskRegistered is set and
	// some of the clients are missing from Sweep.Registered. A sweep with all of these, at most
	// ticketstore.MaxRegistrations, ends at least one of the sessions.
	MissingClients []string
}
