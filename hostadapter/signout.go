package hostadapter

// Sign-out, and the single function by which an Adapter ends sessions.

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// SignOut ends the session of this browser, or all sessions whose cookies it sends, notifies their clients,
// and clears the cookie. Offline refresh tokens outlive it unless Config.Logout.RevokeOffline is set;
// consents always do. Without a session it does nothing. If the store is unavailable it returns
// ticketstore.ErrUnavailable and keeps the cookie, so that the sign-out can be retried.
func (a *Adapter) SignOut(w http.ResponseWriter, r *http.Request) (err error) {
	r, span := a.tracing.startRequest(r, "sign out")
	defer func() { end(span, err) }()
	all, err := a.present(r)
	if err != nil {
		return err
	}
	if _, err := a.signOutOf(r.Context(), recordsOf(all)); err != nil {
		return err
	}
	a.forget(w, r)
	return nil
}

// signOut ends the session on behalf of its user. It continues if the browser disconnects.
func (a *Adapter) signOut(ctx context.Context, record *ticketstore.Session) (*logout.Result, error) {
	result, err := a.end(context.WithoutCancel(ctx), &logout.Ending{
		SessionID: record.SessionID, Reason: logout.UserLogout, KeepOffline: !a.config.Logout.RevokeOffline,
		KeepConsents: true,
	})
	if err != nil {
		return nil, fmt.Errorf("hostadapter: signing out: %w", err)
	}
	a.config.Logger.InfoContext(ctx, "signed out", "session_id", record.SessionID,
		"subject_id", record.SubjectID, "notifications_queued", result.NotificationsQueued)
	return result, nil
}

// forget removes the session from the browser and from the rest of the request.
func (a *Adapter) forget(w http.ResponseWriter, r *http.Request) {
	a.clearCookie(w)
	a.holder(r.Context()).set(nil, nil)
}

// maxAsks bounds how often the store may ask for clients before an ending. Normally it asks once; it asks
// again if a client has used a session for the first time meanwhile.
const maxAsks = 3

// end makes the store end what the ending selects, retries while the outcome is unknown, and wakes the
// dispatcher. It passes the current registrations of the clients.
func (a *Adapter) end(ctx context.Context, ending *logout.Ending) (*logout.Result, error) {
	ending.OperationID = cmp.Or(ending.OperationID, randomID())
	now := a.now()
	// unbound: it revokes grants that no session judges.
	unbound := ending.SessionID == "" && (!ending.KeepTokens || !ending.KeepConsents)
	for asked := 0; ; asked++ {
		ending.AskRegistered = asked < maxAsks
		var result *logout.Result
		err := persist(ctx, func(ctx context.Context) (err error) {
			if unbound && ending.AsOf.IsZero() {
				ending.AsOf, err = a.lastGrant(ctx, grantstore.Filter{SubjectID: ending.SubjectID})
				if err != nil {
					return err
				}
			}
			result, err = a.config.Backend.Logout().End(ctx, ending, now)
			return err
		})
		if err == nil && len(result.MissingClients) > 0 {
			if ending.AskRegistered {
				ending.Registered = a.registered(ctx, result.MissingClients)
				continue
			}
			err = errEndless
		}
		// After an error too: the ending may have been applied.
		a.dispatcher.Wake()
		if err != nil {
			return nil, err
		}
		a.publishEnding(ctx, ending, result)
		return result, nil
	}
}
