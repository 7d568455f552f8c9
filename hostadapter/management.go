package hostadapter

// Queries and removals of sessions by operators (rules 5 and 6).

import (
	"context"
	"fmt"

	"golang.org/x/text/unicode/norm"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// SessionManagement queries and removes sessions, for operators. Adapter implements it.
type SessionManagement interface {
	// QuerySessions returns a page of sessions, following the rules of ticketstore.SessionQuery.
	QuerySessions(ctx context.Context, query ticketstore.SessionQuery) (*ticketstore.Page, error)
	// RemoveSessions ends sessions, revokes what belongs to them, and counts what it did. If nothing matches
	// the Result is zero and there is no error. A removal of all sessions continues as a job, unless it is a
	// dry run: the Result has only the JobID.
	RemoveSessions(ctx context.Context, removal SessionRemoval) (*logout.Result, error)
}

var _ SessionManagement = (*Adapter)(nil)

// SessionRemoval selects what to remove. With zero flags everything is removed: sessions, tokens and
// consents, and the clients are notified.
type SessionRemoval struct {
	// SubjectID, SessionID or both select sessions; if both are set both must match. One is required, unless
	// All.
	SubjectID string
	SessionID string
	// All selects every session, and every subject's grants without one. It excludes SubjectID and SessionID.
	All bool
	// ClientIDs narrows whose tokens and consents are revoked and which clients are notified. Nil means every
	// client; an empty list is an error.
	ClientIDs []string
	// Reason is free text for the log. Clients get logout.Terminated.
	Reason string

	KeepSession      bool
	KeepTokens       bool
	KeepConsents     bool
	SkipNotification bool
	// DryRun counts what would be done without doing it.
	DryRun bool
}

// SessionReport is an operator's view of one session.
type SessionReport struct {
	ticketstore.SessionDetail
	// Grants counts the session's live grants by type.
	Grants map[grantstore.Type]int
	// GrantsCounted is false if there are more grants than were counted (ticketstore.MaxCount).
	GrantsCounted bool
}

// QuerySessions returns a page of sessions. A display name is normalized to Unicode's form NFC, in which
// SignIn stores names; names stored by earlier releases are matched unchanged.
func (a *Adapter) QuerySessions(
	ctx context.Context, query ticketstore.SessionQuery,
) (*ticketstore.Page, error) {
	query.Filter.DisplayName = norm.NFC.String(query.Filter.DisplayName)
	ctx, span := a.tracing.start(ctx, "query sessions")
	page, err := a.config.Backend.Tickets().Query(ctx, query)
	end(span, err)
	if err != nil {
		return nil, fmt.Errorf("hostadapter: querying sessions: %w", err)
	}
	return page, nil
}

// RemoveSessions ends the sessions that the removal selects, with reason logout.Terminated. Offline refresh
// tokens end too, unless it keeps tokens.
func (a *Adapter) RemoveSessions(ctx context.Context, removal SessionRemoval) (*logout.Result, error) {
	if err := ticketstore.CheckText("reason", removal.Reason, ticketstore.MaxText); err != nil {
		return nil, err
	}
	ending := &logout.Ending{
		OperationID: randomID(), SubjectID: removal.SubjectID, SessionID: removal.SessionID, All: removal.All,
		ClientIDs: removal.ClientIDs, Reason: logout.Terminated, KeepSession: removal.KeepSession,
		KeepTokens: removal.KeepTokens, KeepConsents: removal.KeepConsents,
		SkipNotification: removal.SkipNotification, DryRun: removal.DryRun,
	}
	if err := ending.Validate(); err != nil {
		return nil, err
	}
	ctx, span := a.tracing.startAbout(ctx, "remove sessions", removal.SessionID, removal.SubjectID)
	result, err := a.end(ctx, ending)
	end(span, err)
	if err != nil {
		return nil, fmt.Errorf("hostadapter: removing sessions: %w", err)
	}
	if removal.DryRun { // nothing was changed: the admin routes audit it
		return result, nil
	}
	if result.JobID != "" {
		a.config.Logger.InfoContext(ctx, "removal of all sessions begun", "job", result.JobID,
			"client_ids", removal.ClientIDs, "reason", removal.Reason)
		return result, nil
	}
	a.config.Logger.InfoContext(ctx, "sessions removed", "all", removal.All, "subject_id", removal.SubjectID,
		"session_id", removal.SessionID,
		"client_ids", removal.ClientIDs, "reason", removal.Reason, "sessions_removed", result.SessionsRemoved,
		"grants_revoked", result.GrantsRevoked, "consents_revoked", result.ConsentsRevoked,
		"notifications_queued", result.NotificationsQueued)
	return result, nil
}

// SessionByID returns the session with the sid, its clients and a count of its grants. It returns
// ticketstore.ErrNotFound if the session is unknown or ended.
func (o *Operations) SessionByID(ctx context.Context, sessionID string) (*SessionReport, error) {
	if err := ticketstore.CheckID("session_id", sessionID); err != nil {
		return nil, err
	}
	detail, err := o.adapter.config.Backend.Tickets().Find(ctx, sessionID)
	if err != nil {
		return nil, fmt.Errorf("hostadapter: reading a session: %w", err)
	}
	report := &SessionReport{SessionDetail: *detail, Grants: map[grantstore.Type]int{}}
	page, err := o.adapter.config.Backend.Grants().Query(ctx,
		grantstore.Query{Filter: grantstore.Filter{SessionID: sessionID}, Count: ticketstore.MaxCount},
		o.adapter.now())
	if err != nil {
		return nil, fmt.Errorf("hostadapter: counting the grants of a session: %w", err)
	}
	for i := range page.Grants {
		report.Grants[page.Grants[i].Type]++
	}
	report.GrantsCounted = !page.HasNext
	return report, nil
}
