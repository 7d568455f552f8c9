package hostadapter

// Deletion of a user: ends all sessions and revokes all tokens and consents.

import (
	"context"
	"fmt"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// UserDeletion is the result of DeleteUser.
type UserDeletion struct {
	// Sessions, Tokens and Consents count what was removed, Notifications the clients to notify.
	Sessions      int
	Tokens        int
	Consents      int
	Notifications int

	adapter *Adapter
	sids    []string
}

// DeleteUser ends all sessions of a subject and revokes all of its tokens and consents, including offline
// tokens and grants without a session. When it returns nil none of them is left, and the notification of
// every client is queued: Wait waits for their delivery. First make the server refuse the user's sign-in: a
// session that begins later is not ended. It may be retried, also after an error; Wait then does not wait for
// the clients of sessions that the earlier call ended.
func (a *Adapter) DeleteUser(ctx context.Context, subjectID string) (deletion *UserDeletion, err error) {
	if err := ticketstore.CheckID("subject_id", subjectID); err != nil {
		return nil, err
	}
	ctx, span := a.tracing.startAbout(ctx, "delete user", "", subjectID)
	defer func() { end(span, err) }()
	deletion = &UserDeletion{adapter: a}
	// One by one, to learn each sid whose notifications Wait waits for.
	err = eachSession(func(token string) (*ticketstore.Page, error) {
		return a.config.Backend.Tickets().Query(ctx, ticketstore.SessionQuery{
			Filter: ticketstore.SessionFilter{SubjectID: subjectID}, Count: ticketstore.MaxCount,
			ResultsToken: token,
		})
	}, func(session *ticketstore.SessionDetail) error {
		sid := session.SessionID
		deletion.sids = append(deletion.sids, sid)
		return deletion.end(ctx,
			&logout.Ending{SubjectID: subjectID, SessionID: sid, Reason: logout.Terminated})
	})
	if err != nil {
		return nil, fmt.Errorf("hostadapter: deleting a user: %w", err)
	}
	err = deletion.end(ctx, &logout.Ending{SubjectID: subjectID, Reason: logout.Terminated})
	if err != nil {
		return nil, fmt.Errorf("hostadapter: deleting a user: %w", err)
	}
	a.config.Logger.InfoContext(ctx, "user deleted", "subject_id", subjectID,
		"sessions_removed", deletion.Sessions, "grants_revoked", deletion.Tokens,
		"consents_revoked", deletion.Consents, "notifications_queued", deletion.Notifications)
	return deletion, nil
}

func (d *UserDeletion) end(ctx context.Context, ending *logout.Ending) error {
	result, err := d.adapter.end(ctx, ending)
	if err != nil {
		return err
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

// Wait waits until the notification of every client is delivered, refused or given up, and counts them. If
// ctx ends first it returns its error and the counts so far. It retries while the store is unavailable.
func (d *UserDeletion) Wait(ctx context.Context) (NotificationCount, error) {
	return d.adapter.awaitNotifications(ctx, d.sids)
}
