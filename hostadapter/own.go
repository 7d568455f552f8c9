package hostadapter

// Users' access to their own sessions: list them, end others.

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// OwnSessions returns the live sessions of the session's user, newest first, at most ticketstore.MaxCount.
func (a *Adapter) OwnSessions(ctx context.Context, session *Session) ([]ticketstore.SessionDetail, error) {
	page, err := a.ownPage(ctx, session, "")
	if err != nil {
		return nil, err
	}
	now := a.now()
	return slices.DeleteFunc(page.Sessions, func(own ticketstore.SessionDetail) bool {
		return !own.LiveAt(now)
	}), nil
}

// ownPage returns a page of the sessions of the session's user, live or not, newest first.
func (a *Adapter) ownPage(ctx context.Context, session *Session, token string) (*ticketstore.Page, error) {
	page, err := a.config.Backend.Tickets().Query(ctx, ticketstore.SessionQuery{
		Filter: ticketstore.SessionFilter{SubjectID: session.SubjectID}, Count: ticketstore.MaxCount,
		ResultsToken: token,
	})
	if err != nil {
		return nil, fmt.Errorf("hostadapter: reading a user's sessions: %w", err)
	}
	return page, nil
}

// EndOwnSession ends another session of the session's user, as if the user had signed out there. It returns
// ticketstore.ErrNotFound if the sid is unknown, has ended or belongs to a different user.
func (a *Adapter) EndOwnSession(ctx context.Context, session *Session, sessionID string) (err error) {
	if err := ticketstore.CheckID("session_id", sessionID); err != nil {
		return err
	}
	ctx, span := a.tracing.startAbout(ctx, "end own session", sessionID, session.SubjectID)
	defer func() { end(span, err) }()
	// The store requires both ids to match, in one transaction: no user can end another user's session.
	result, err := a.end(ctx, &logout.Ending{
		SubjectID: session.SubjectID, SessionID: sessionID, Reason: logout.UserLogout,
		KeepOffline: !a.config.Logout.RevokeOffline, KeepConsents: true,
	})
	switch {
	case err != nil:
		return fmt.Errorf("hostadapter: ending a user's session: %w", err)
	case result.SessionsRemoved == 0:
		return fmt.Errorf("hostadapter: session of the user: %w", ticketstore.ErrNotFound)
	}
	a.config.Logger.InfoContext(ctx, "signed out on another device", "session_id", sessionID,
		"subject_id", session.SubjectID, "by_session_id", session.SessionID)
	return nil
}

// EndOtherSessions ends all sessions of the session's user except the given one, and returns how many.
func (a *Adapter) EndOtherSessions(ctx context.Context, session *Session) (ended int, err error) {
	ctx, span := a.tracing.startAbout(ctx, "end other sessions", session.SessionID, session.SubjectID)
	defer func() { end(span, err) }()
	err = eachSession(func(token string) (*ticketstore.Page, error) {
		return a.ownPage(ctx, session, token)
	}, func(other *ticketstore.SessionDetail) error {
		if other.SessionID == session.SessionID || !other.LiveAt(a.now()) {
			return nil
		}
		err := a.EndOwnSession(ctx, session, other.SessionID)
		if errors.Is(err, ticketstore.ErrNotFound) {
			return nil
		}
		if err == nil {
			ended++
		}
		return err
	})
	return ended, err
}
