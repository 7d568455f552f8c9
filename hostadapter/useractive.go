package hostadapter

// Inactive users: their sessions and tokens end at the next use.

import (
	"context"
	"fmt"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// userActive calls Config.UserActive, and ends everything the user has if it returns false.
func (a *Adapter) userActive(ctx context.Context, subjectID string) (bool, error) {
	if a.config.UserActive == nil {
		return true, nil
	}
	active, err := a.config.UserActive(ctx, subjectID)
	if err != nil {
		return false, fmt.Errorf("hostadapter: %w: Config.UserActive: %w", ticketstore.ErrUnavailable, err)
	}
	if active {
		return true, nil
	}
	result, err := a.endInactive(ctx, subjectID)
	if err != nil {
		return false, fmt.Errorf("hostadapter: ending the sessions of a user who is not active: %w", err)
	}
	if result == nil {
		return false, nil
	}
	a.config.Logger.InfoContext(ctx, "user is not active, all sessions ended", "subject_id", subjectID,
		"sessions_removed", result.SessionsRemoved, "grants_revoked", result.GrantsRevoked,
		"consents_revoked", result.ConsentsRevoked)
	return false, nil
}

// endInactive ends everything a user has. If there is nothing it writes nothing and returns nil: tokens that
// no ending removes, JWTs and those of the host's own store, lead here at each use.
func (a *Adapter) endInactive(ctx context.Context, subjectID string) (*logout.Result, error) {
	ending := &logout.Ending{SubjectID: subjectID, Reason: logout.Terminated, DryRun: true}
	planned, err := a.end(ctx, ending)
	if err != nil || planned.SessionsRemoved+planned.GrantsRevoked+planned.ConsentsRevoked == 0 {
		return nil, err
	}
	ending.DryRun = false
	return a.end(ctx, ending)
}
