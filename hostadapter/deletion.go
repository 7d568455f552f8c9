package hostadapter

// Deletion of a user: all sessions, tokens and consents.

import (
	"context"
	"fmt"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// UserDeletion is what DeleteUser did.
type UserDeletion struct {
	// Sessions, Tokens and Consents count what is gone, Notifications the clients to notify.
	Sessions      int
	Tokens        int
	Consents      int
	Notifications int

	adapter *Adapter
	sids    []string
}

// DeleteUser ends all sessions of a subject and revokes all of its tokens and consents, offline ones and
// those without a session too. When it returns without an error none of them is left, and every client has
// its notification in the queue: Wait reports when the last is delivered. Have your server refuse the user's
// sign-in first: a session that begins afterwards is a new one. It may be called again, after an error too.
func (a *Adapter) DeleteUser(ctx context.Context, subjectID string) (deletion *UserDeletion, err error) {
	if err := ticketstore.CheckID("subject_id", subjectID); err != nil {
		return nil, err
	}
	ctx, span := a.tracing.startAbout(ctx, "delete user", "", subjectID)
	defer func() { end(span, err) }()
	deletion = &UserDeletion{adapter: a}
	// One by one, so that each sid is known whose notifications are to be waited for.
	for {
		page, err := a.config.Backend.Tickets().Query(ctx, ticketstore.SessionQuery{
			Filter: ticketstore.SessionFilter{SubjectID: subjectID}, Count: ticketstore.MaxCount,
		})
		if err != nil {
			return nil, fmt.Errorf("hostadapter: deleting a user: %w", err)
		}
		if len(page.Sessions) == 0 {
			break
		}
		for i := range page.Sessions {
			sid := page.Sessions[i].SessionID
			if err := deletion.end(ctx,
				&logout.Ending{SubjectID: subjectID, SessionID: sid, Reason: logout.Terminated}); err != nil {
				return nil, err
			}
			deletion.sids = append(deletion.sids, sid)
		}
	}
	if err := deletion.end(ctx, &logout.Ending{SubjectID: subjectID, Reason: logout.Terminated}); err != nil {
		return nil, err
	}
	a.config.Logger.InfoContext(ctx, "user deleted", "subject_id", subjectID,
		"sessions_removed", deletion.Sessions, "grants_revoked", deletion.Tokens,
		"consents_revoked", deletion.Consents, "notifications_queued", deletion.Notifications)
	return deletion, nil
}

func (d *UserDeletion) end(ctx context.Context, ending *logout.Ending) error {
	result, err := d.adapter.end(ctx, ending)
	if err != nil {
		return fmt.Errorf("hostadapter: deleting a user: %w", err)
	}
	d.Sessions += result.SessionsRemoved
	d.Tokens += result.GrantsRevoked
	d.Consents += result.ConsentsRevoked
	d.Notifications += result.NotificationsQueued
	if ending.SessionID == "" {
		for _, ended := range result.Ended {
			d.sids = append(d.sids, ended.SessionID)
		}
	}
	return nil
}

// Wait returns when every client has taken its notification, refused it, or was given up, and says how many
// did; or with the context's error and what is known by then. A store that is unavailable is asked again.
func (d *UserDeletion) Wait(ctx context.Context) (NotificationCount, error) {
	return d.adapter.awaitNotifications(ctx, d.sids)
}
