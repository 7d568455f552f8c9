package hostadapter

// The session of a request: lookup, validation, renewal.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// ErrNoMiddleware means that the context is not from a request that passed the adapter's Middleware.
var ErrNoMiddleware = errors.New("hostadapter: request did not pass the session middleware")

// Session is the session of a signed-in user as a host sees it.
type Session struct {
	// SessionID is the sid claim.
	SessionID string
	// SubjectID is the sub claim.
	SubjectID string
	// DisplayName, Renewed and Expires come from the store; all other fields are sealed for the session's
	// cookie.
	DisplayName string
	Issuer      string
	ACR         string
	AMR         []string
	AuthTime    time.Time
	Created     time.Time
	Renewed     time.Time
	// Expires is when it ends unless it is used earlier, EndsAt when it ends in any case (zero: never).
	Expires time.Time
	EndsAt  time.Time
	// Properties are the Identity.Properties of the sign-in.
	Properties map[string]string
}

// clone returns a deep copy, so that callers do not share changes.
func (s *Session) clone() *Session {
	if s == nil {
		return nil
	}
	c := *s
	c.AMR, c.Properties = slices.Clone(s.AMR), maps.Clone(s.Properties)
	return &c
}

// Session returns the session of the request's cookie, and renews it if that is due. It returns nil without
// an error if no user is signed in: there is no cookie, or it is unknown, its session is over or has a former
// issuer, or its ticket cannot be opened because the key was lost. It returns ticketstore.ErrUnavailable if
// the store cannot be reached. It never writes the cookie, because a parallel request may just have signed in
// with its name; so it may be called from any goroutine.
//
// If there are several cookies with the name, which browsers send in no reliable order, the first one of a
// live session is used; at most 8 are looked up. SignOut ends the sessions of all of them, SignIn those of
// other subjects.
//
// With the Middleware the store is read once per request.
func (a *Adapter) Session(r *http.Request) (*Session, error) {
	if h := a.holder(r.Context()); h != nil {
		return h.load(r)
	}
	return a.lookUp(r)
}

// SessionFromContext is Session for the context of a request that passed the Middleware. It sees a session
// that SignIn created in the same request. For any other context it returns ErrNoMiddleware.
func (a *Adapter) SessionFromContext(ctx context.Context) (*Session, error) {
	h := a.holder(ctx)
	if h == nil {
		return nil, ErrNoMiddleware
	}
	return h.load(h.request.WithContext(ctx))
}

// lookUp returns the live session of the request's cookie, renewed if that is due, or nil. It does not write
// the cookie, see Session.
func (a *Adapter) lookUp(r *http.Request) (*Session, error) {
	secrets, _ := a.readCookies(r)
	if len(secrets) == 0 {
		return nil, nil
	}
	r, span := a.tracing.startRequest(r, "session")
	session, err := a.firstLive(r, secrets)
	if session != nil {
		a.tracing.name(span, SpanSession, session.SessionID)
		a.tracing.name(span, SpanUser, session.SubjectID)
	}
	end(span, err)
	return session, err
}

// firstLive returns the first live session of the secrets.
func (a *Adapter) firstLive(r *http.Request, secrets []secret) (*Session, error) {
	for _, s := range secrets {
		p, err := a.presentedBy(r.Context(), s)
		if err != nil {
			return nil, err
		}
		if p == nil || p.session == nil {
			continue
		}
		if active, err := a.userActive(r.Context(), p.session.SubjectID); err != nil || !active {
			if err != nil {
				return nil, err
			}
			continue
		}
		if session := a.slid(r.Context(), p); session != nil {
			return session, nil
		}
	}
	return nil, nil
}

// slid renews the session if it is valid and due for renewal, and returns it, or nil if it ended meanwhile.
func (a *Adapter) slid(ctx context.Context, p *presented) *Session {
	if p == nil || p.session == nil {
		return nil
	}
	record, session := p.record, p.session
	if p.former {
		record = a.reseal(ctx, record, session.Properties)
	} else {
		record = a.renew(ctx, record)
	}
	if record == nil {
		return nil
	}
	session.Expires, session.Renewed = capped(record.Expires, session.EndsAt).UTC(), record.Renewed.UTC()
	return session
}

// live returns the live session with the key, or nil. It ends a session that is over.
func (a *Adapter) live(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	record, err := a.config.Backend.Tickets().Get(ctx, key)
	switch {
	case errors.Is(err, ticketstore.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("hostadapter: reading a session: %w", err)
	case record.Key != key:
		// Whatever this record is, it does not belong to this browser's cookie.
		a.reportSealed(ticketPurpose,
			fmt.Errorf("%w: the store gave the session of another cookie", ErrChanged))
		return nil, nil
	case record.LiveAt(a.now()):
		return record, nil
	}
	a.endExpired(ctx, record.SessionID)
	return nil, nil
}

// expireTimeout bounds the end of an expired session during a request.
const expireTimeout = 2 * time.Second

// endExpired ends a session that has expired; the expiry settings decide what outlives it. A live session is
// left unchanged. A failure is only logged, because the sweep would end the session within a second.
func (a *Adapter) endExpired(ctx context.Context, sessionID string) {
	ctx, cancel := context.WithTimeout(ctx, expireTimeout)
	defer cancel()
	_, err := a.end(ctx, &logout.Ending{
		SessionID: sessionID, Reason: logout.SessionExpiration, KeepOffline: !a.config.Expiry.RevokeOffline,
		KeepConsents: true, SkipNotification: a.config.Expiry.Notify == NoClients,
		CoordinatedOnly: a.config.Expiry.Notify == CoordinatingClients,
	})
	if err != nil {
		a.config.Logger.WarnContext(ctx, "expired session was not ended, the sweep will end it",
			"session_id", sessionID, "error", err)
	}
}

// renew renews the session if its last renewal is long enough ago. It returns nil if the session ended
// meanwhile.
func (a *Adapter) renew(ctx context.Context, record *ticketstore.Session) *ticketstore.Session {
	now := a.now()
	expires := capped(now.Add(a.config.Lifetime.IdleTimeout), record.EndsAt)
	if now.Sub(record.Renewed) < a.config.Lifetime.RenewEvery || !expires.After(record.Expires) {
		return record
	}
	renewed, err := a.config.Backend.Tickets().Renew(ctx,
		ticketstore.Renewal{Key: record.Key, Version: record.Version, Expires: expires}, now)
	switch {
	case err == nil:
		// Renew need not return the ticket.
		record.Expires, record.Renewed, record.Version = renewed.Expires, renewed.Renewed, renewed.Version
		a.publishRenewed(record.SessionID, record.SubjectID)
		return record
	case errors.Is(err, ticketstore.ErrConflict):
		// Another request renewed it concurrently.
		return record
	case errors.Is(err, ticketstore.ErrNotFound):
		return nil
	case errors.Is(err, ticketstore.ErrExpired):
		a.endExpired(ctx, record.SessionID)
		return nil
	}
	// It is live: the next request renews it.
	a.config.Logger.WarnContext(ctx, "session was not renewed", "session_id", record.SessionID, "error", err)
	return record
}

// capped returns the earlier of t and limit; a zero limit is none.
func capped(t, limit time.Time) time.Time {
	if !limit.IsZero() && limit.Before(t) {
		return limit
	}
	return t
}
