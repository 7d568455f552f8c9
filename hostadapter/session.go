package hostadapter

// The session of a request: read, checked, renewed.

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

// ErrNoMiddleware means that the context is not that of a request that passed the adapter's Middleware.
var ErrNoMiddleware = errors.New("hostadapter: request did not pass the session middleware")

// Session is the session of a signed-in user as a host sees it.
type Session struct {
	// SessionID is the sid claim.
	SessionID string
	// SubjectID is the sub claim.
	SubjectID string
	// DisplayName, Renewed and Expires are what the store says; all else is sealed for the session's cookie.
	DisplayName string
	Issuer      string
	ACR         string
	AMR         []string
	AuthTime    time.Time
	Created     time.Time
	Renewed     time.Time
	// Expires is when it ends unless it is used before, EndsAt when it ends in any case (zero: never).
	Expires time.Time
	EndsAt  time.Time
	// Properties are those of the Identity that signed in.
	Properties map[string]string
}

// clone keeps what one caller does to its Session from the next.
func (s *Session) clone() *Session {
	if s == nil {
		return nil
	}
	c := *s
	c.AMR, c.Properties = slices.Clone(s.AMR), maps.Clone(s.Properties)
	return &c
}

// Session returns the session of the request's cookie, and renews it where that is due. It is nil without
// error when no user is signed in: no cookie, an unknown one, a session that is over, one of a former issuer,
// one whose ticket cannot be opened because its key was lost. A store that cannot be asked is
// ticketstore.ErrUnavailable. The cookie is left alone in any case: a parallel request may just have signed
// in under its name. So this may be called from any goroutine.
//
// Of several cookies of one name, which browsers send in no order that could be relied on, the first of a
// live session counts; 8 are looked up at most. SignOut ends the sessions of all of them, SignIn those of
// other subjects.
//
// Below the Middleware the store is asked once a request.
func (a *Adapter) Session(r *http.Request) (*Session, error) {
	if h := a.holder(r.Context()); h != nil {
		return h.load(r)
	}
	return a.lookUp(r)
}

// SessionFromContext returns what Session does, by the context of a request that passed the Middleware. A
// session that SignIn made in the same request is seen. Any other context is ErrNoMiddleware.
func (a *Adapter) SessionFromContext(ctx context.Context) (*Session, error) {
	h := a.holder(ctx)
	if h == nil {
		return nil, ErrNoMiddleware
	}
	return h.load(h.request.WithContext(ctx))
}

// lookUp returns the live session of the request's cookie, renewed where that is due, or nil. It writes no
// cookie, see Session.
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

// firstLive returns the session of the first secret that has a live one.
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

// slid renews the session, where it is valid and that is due, and returns it, nil if it ended meanwhile.
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

// live returns the live session under that key, or nil. A session found to be over is ended.
func (a *Adapter) live(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	record, err := a.config.Backend.Tickets().Get(ctx, key)
	switch {
	case errors.Is(err, ticketstore.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("hostadapter: reading a session: %w", err)
	case record.Key != key:
		// Whatever it is, it is not this browser's: to it there is none.
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

// endExpired ends a session that is past its time, which decides what outlives it. One that is live stays as
// it is. The sweep would do it within a second: a failure is logged, and no reason to fail a request.
func (a *Adapter) endExpired(ctx context.Context, sessionID string) {
	ctx, cancel := context.WithTimeout(ctx, expireTimeout)
	defer cancel()
	_, err := a.end(ctx, &logout.Ending{
		SessionID: sessionID, Reason: logout.SessionExpiration, KeepOffline: !a.config.Expiry.RevokeOffline,
		KeepConsents: true, SkipNotification: a.config.Expiry.Notify == NoClients,
		CoordinatedOnly: a.config.Expiry.Notify == CoordinatingClients,
	})
	if err != nil {
		a.config.Logger.WarnContext(ctx, "expired session was not ended, the sweep will do it",
			"session_id", sessionID, "error", err)
	}
}

// renew slides the session if its last renewal is long enough ago. It returns nil if the session ended
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
		// What Renew returns need not have the ticket.
		record.Expires, record.Renewed, record.Version = renewed.Expires, renewed.Renewed, renewed.Version
		a.publishRenewed(record.SessionID, record.SubjectID)
		return record
	case errors.Is(err, ticketstore.ErrConflict):
		// Another request renewed it at the same moment.
		return record
	case errors.Is(err, ticketstore.ErrNotFound):
		return nil
	case errors.Is(err, ticketstore.ErrExpired):
		a.endExpired(ctx, record.SessionID)
		return nil
	}
	// It was read and is live: the next request renews it.
	a.config.Logger.WarnContext(ctx, "session was not renewed", "session_id", record.SessionID, "error", err)
	return record
}

// capped returns t, or limit where there is one and it is earlier.
func capped(t, limit time.Time) time.Time {
	if !limit.IsZero() && limit.Before(t) {
		return limit
	}
	return t
}
