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

// SessionManagement is what an operator does with sessions. An Adapter is one.
type SessionManagement interface {
	// QuerySessions returns a page of sessions. See ticketstore.SessionQuery for its rules.
	QuerySessions(ctx context.Context, query ticketstore.SessionQuery) (*ticketstore.Page, error)
	// RemoveSessions ends sessions and what belongs to them, and counts what it did. Nothing matched is a
	// zero Result and no error. A removal of all, unless it is a dry run, is begun and continues as a job:
	// the Result has nothing but the JobID.
	RemoveSessions(ctx context.Context, removal SessionRemoval) (*logout.Result, error)
}

var _ SessionManagement = (*Adapter)(nil)

// SessionRemoval says what to remove. Its zero flags remove everything: the session, its tokens, its
// consents, and its clients are notified.
type SessionRemoval struct {
	// SubjectID, SessionID or both select sessions; both must match. One of them is required, or else All.
	SubjectID string
	SessionID string
	// All selects every session, and what every subject has without one. It excludes SubjectID and SessionID.
	All bool
	// ClientIDs narrows whose tokens and consents are revoked and who is notified. Nil means every client; an
	// empty list is an error.
	ClientIDs []string
	// Reason is free text for the log. Clients see logout.Terminated.
	Reason string

	KeepSession      bool
	KeepTokens       bool
	KeepConsents     bool
	SkipNotification bool
	// DryRun counts what would be done and does nothing.
	DryRun bool
}

// SessionReport is what an operator sees of one session.
type SessionReport struct {
	ticketstore.SessionDetail
	// Grants counts the session's live grants by type.
	Grants map[grantstore.Type]int
	// GrantsCounted is false when there are more grants than were counted (ticketstore.MaxCount).
	GrantsCounted bool
}

// QuerySessions returns a page of sessions. A display name is sought in Unicode's form NFC, in which SignIn
// stores names; those of earlier releases are matched as they are.
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

// RemoveSessions ends what the removal selects with reason logout.Terminated. Offline refresh tokens end too,
// unless it keeps tokens.
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
	if removal.DryRun { // nothing was changed: the admin routes have it in their audit
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

// SessionByID returns the session with that sid, its clients and a count of its grants. An unknown or ended
// one is ticketstore.ErrNotFound.
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
