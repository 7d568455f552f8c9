package hostadapter

// Sign-in: a new session, a step-up, or the replacement of another user's session (rule 10).

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Identity is a user who has just been authenticated.
type Identity struct {
	// Subject is the sub claim. Required.
	Subject string
	// DisplayName is shown to operators in lists of sessions. It is stored in Unicode's form NFC.
	DisplayName string
	// ACR and AMR describe how the user authenticated (OpenID Connect Core 1.0, section 2).
	ACR string
	AMR []string
	// AuthTime is when the user authenticated; now if zero.
	AuthTime time.Time
	// Properties are stored, sealed, with the session, in a ticket of at most ticketstore.MaxTicket bytes
	// that also holds the subject, the issuer and how the user authenticated. Operators see those named by
	// Config.VisibleProperties.
	Properties map[string]string
}

// clockSkew is how far an AuthTime from another machine may be in the future.
const clockSkew = time.Minute

// SignIn signs the identity in with this browser. It sets a cookie with a new secret each time, so that a
// planted cookie is useless. If the same user is signed in already, the session keeps its sid; of two
// concurrent sign-ins over it, one begins another session. A live session of a different subject ends (reason
// session_replaced), and so does one that cannot be opened or has a former issuer. For an invalid identity it
// returns a *ticketstore.FieldError before anything is changed. If the request's context ends meanwhile,
// because the browser has gone, a new session is ended again.
//
// It returns ticketstore.ErrTooManySessions if the subject has reached Config.Lifetime.MaxSessions and
// Config.Lifetime.RefuseSignIn is set; a live session of another subject has ended even so. After any other
// error it is unknown whether the user is signed in: respond with an error, or sign in again.
func (a *Adapter) SignIn(w http.ResponseWriter, r *http.Request, identity Identity) (*Session, error) {
	now := a.now()
	if err := identity.check(now); err != nil {
		return nil, err
	}
	cookie := newSecret()
	r, span := a.tracing.startRequest(r, "sign in")
	record, err := a.signIn(r, &identity, cookie.key(), now)
	if record != nil {
		a.tracing.name(span, SpanSession, record.SessionID)
		a.tracing.name(span, SpanUser, record.SubjectID)
	}
	end(span, err)
	if err != nil {
		return nil, err
	}
	session, _, err := a.public(record)
	if err != nil {
		return nil, err
	}
	a.writeCookie(w, cookie, record)
	a.holder(r.Context()).set(session, &cookie)
	a.config.Logger.InfoContext(r.Context(), "signed in", "session_id", session.SessionID,
		"subject_id", session.SubjectID)
	return session, nil
}

func (i *Identity) check(now time.Time) error {
	i.DisplayName = norm.NFC.String(i.DisplayName)
	if err := ticketstore.CheckID("subject", i.Subject); err != nil {
		return err
	}
	for _, text := range []struct{ field, value string }{{"display_name", i.DisplayName}, {"acr", i.ACR}} {
		if err := ticketstore.CheckText(text.field, text.value, ticketstore.MaxText); err != nil {
			return err
		}
	}
	if len(i.AMR) > ticketstore.MaxAMR {
		return ticketstore.Invalidf("amr", "has more than %d entries", ticketstore.MaxAMR)
	}
	for _, method := range i.AMR {
		if err := ticketstore.CheckID("amr", method); err != nil {
			return err
		}
	}
	for name, value := range i.Properties {
		if err := errors.Join(ticketstore.CheckText("properties", name, ticketstore.MaxTicket),
			ticketstore.CheckText("properties", value, ticketstore.MaxTicket)); err != nil {
			return ticketstore.Invalidf("properties",
				"have a name or value that is too long, not UTF-8, or contains a NUL byte")
		}
	}
	switch {
	case i.AuthTime.IsZero() || (i.AuthTime.After(now) && !i.AuthTime.After(now.Add(clockSkew))):
		i.AuthTime = now
	case i.AuthTime.After(now):
		return ticketstore.Invalidf("auth_time", "is in the future")
	case i.AuthTime.Unix() <= 0: // perhaps the Unix time of a claim that is missing
		return ticketstore.Invalidf("auth_time", "is 1970-01-01 or before: leave it zero if it is unknown")
	}
	i.AuthTime = i.AuthTime.UTC()
	return nil
}

func (a *Adapter) signIn(
	r *http.Request, identity *Identity, key ticketstore.Key, now time.Time,
) (*ticketstore.Session, error) {
	ctx := r.Context()
	fresh := a.newRecord(r, identity, key, now)
	var err error
	if fresh.Ticket, err = a.sealTicket(fresh, identity.Properties); err != nil {
		return nil, err
	}
	if fresh.Visible, err = a.sealVisible(fresh.SessionID, identity.Properties); err != nil {
		return nil, err
	}
	if err := fresh.Validate(); err != nil {
		return nil, err
	}
	all, err := a.present(r)
	if err != nil {
		return nil, err
	}
	isSame := func(p presented) bool { return p.isOf(identity.Subject) }
	replaced := slices.DeleteFunc(slices.Clone(all), isSame)
	if err := a.replace(ctx, replaced); err != nil {
		return nil, err
	}
	if same := slices.IndexFunc(all, isSame); same >= 0 {
		record, err := a.stepUp(ctx, all[same].record, fresh, identity, now)
		if record != nil && err == nil {
			a.publishReplaced(replaced, record, now)
			a.publishRenewed(record.SessionID, record.SubjectID)
		}
		if err != nil || record != nil {
			return record, err
		}
		// The session ended meanwhile.
	}
	if err := a.create(ctx, fresh, now); err != nil {
		return nil, fmt.Errorf("hostadapter: creating a session: %w", err)
	}
	a.publishReplaced(replaced, fresh, now)
	a.events.publish(&SessionStarted{
		Time: now, SessionID: fresh.SessionID, SubjectID: fresh.SubjectID, RemoteAddr: fresh.RemoteAddr,
		UserAgent: fresh.UserAgent,
	})
	if gone := ctx.Err(); gone != nil {
		// No browser takes the cookie: until it expired, the session would count for MaxSessions.
		_, err := a.end(context.WithoutCancel(ctx), &logout.Ending{
			SessionID: fresh.SessionID, Reason: logout.Terminated, KeepOffline: true, KeepConsents: true,
		})
		return nil, errors.Join(gone, err)
	}
	return fresh, nil
}

// replace ends the sessions that a sign-in replaces.
func (a *Adapter) replace(ctx context.Context, replaced []presented) error {
	for i := range replaced {
		_, err := a.end(context.WithoutCancel(ctx), &logout.Ending{
			SessionID: replaced[i].record.SessionID, Reason: logout.SessionReplaced,
			KeepOffline: !a.config.Logout.RevokeOffline, KeepConsents: true,
		})
		if err != nil {
			return fmt.Errorf("hostadapter: ending the session that is replaced: %w", err)
		}
	}
	return nil
}

// publishReplaced publishes the replaced sessions, once their successor is stored.
func (a *Adapter) publishReplaced(replaced []presented, by *ticketstore.Session, now time.Time) {
	for i := range replaced {
		a.events.publish(&SessionReplaced{
			Time: now, SessionID: replaced[i].record.SessionID, SubjectID: replaced[i].record.SubjectID,
			NewSessionID: by.SessionID, NewSubjectID: by.SubjectID,
		})
	}
}

// create stores the session, within the limit if there is one. It may be retried after a lost answer.
func (a *Adapter) create(ctx context.Context, fresh *ticketstore.Session, now time.Time) error {
	tickets := a.config.Backend.Tickets()
	if a.config.Lifetime.MaxSessions == 0 {
		return persist(ctx, func(ctx context.Context) error { return tickets.Create(ctx, fresh) })
	}
	limit := ticketstore.Limit{
		Max: a.config.Lifetime.MaxSessions, EndOldest: !a.config.Lifetime.RefuseSignIn,
		KeepOffline: !a.config.Logout.RevokeOffline,
	}
	if limit.EndOldest {
		limit.Registered = a.registeredOf(ctx, fresh.SubjectID, limit.Max)
	}
	var ended []string
	err := persist(ctx, func(ctx context.Context) (err error) {
		ended, err = tickets.CreateWithin(ctx, fresh, limit, now)
		return err
	})
	if len(ended) > 0 || err != nil {
		a.dispatcher.Wake()
	}
	for _, sid := range ended {
		a.events.publish(&SessionEnded{
			Time: now, SessionID: sid, SubjectID: fresh.SubjectID, Reason: logout.Terminated,
		})
	}
	if len(ended) > 0 {
		a.config.Logger.InfoContext(ctx, "sessions ended by the limit of sessions",
			"subject_id", fresh.SubjectID, "session_ids", ended)
	}
	return err
}

func (a *Adapter) newRecord(
	r *http.Request, identity *Identity, key ticketstore.Key, now time.Time,
) *ticketstore.Session {
	record := &ticketstore.Session{
		Key: key, SessionID: randomID(), SubjectID: identity.Subject, DisplayName: identity.DisplayName,
		Issuer: a.config.Issuer, AuthTime: identity.AuthTime, ACR: identity.ACR, AMR: identity.AMR,
		RemoteAddr: trimText(a.config.RemoteAddr(r)), UserAgent: trimText(r.UserAgent()), Created: now,
		Renewed: now,
	}
	record.Expires, record.EndsAt = a.lifetime(now)
	return record
}

// lifetime returns the idle and the absolute limit of a session that begins at from.
func (a *Adapter) lifetime(from time.Time) (expires, endsAt time.Time) {
	if a.config.Lifetime.AbsoluteTimeout > 0 {
		endsAt = from.Add(a.config.Lifetime.AbsoluteTimeout)
	}
	return capped(from.Add(a.config.Lifetime.IdleTimeout), endsAt), endsAt
}

// stepUp gives the session of the same user a new cookie and the circumstances of the new sign-in. It returns
// nil if the session ended meanwhile.
func (a *Adapter) stepUp(
	ctx context.Context, old, fresh *ticketstore.Session, identity *Identity, now time.Time,
) (*ticketstore.Session, error) {
	var err, conflict error
	// If the clock was set back, the session must not end before it began.
	from := now
	if old.Created.After(from) {
		from = old.Created
	}
	expires, endsAt := a.lifetime(from)
	for range attempts {
		rekey := ticketstore.Rekey{
			Key: old.Key, Version: old.Version, NewKey: fresh.Key,
			DisplayName: fresh.DisplayName, AuthTime: fresh.AuthTime, ACR: fresh.ACR, AMR: fresh.AMR,
			RemoteAddr: fresh.RemoteAddr, UserAgent: fresh.UserAgent, Expires: expires, EndsAt: endsAt,
		}
		if rekey.Ticket, err = a.sealTicket(rekey.Apply(old, now), identity.Properties); err != nil {
			return nil, err
		}
		if rekey.Visible, err = a.sealVisible(old.SessionID, identity.Properties); err != nil {
			return nil, err
		}
		err = a.rekey(ctx, rekey, now)
		switch {
		case err == nil:
			return rekey.Apply(old, now), nil
		case errors.Is(err, ticketstore.ErrExpired), errors.Is(err, ticketstore.ErrNotFound):
			return nil, nil
		case !errors.Is(err, ticketstore.ErrConflict):
			return nil, fmt.Errorf("hostadapter: renewing a sign-in: %w", err)
		}
		conflict = err
		if old, err = a.live(ctx, old.Key); err != nil || old == nil ||
			!a.judged(old).isOf(identity.Subject) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("hostadapter: renewing a sign-in: %w", conflict)
}

// rekey replaces the session's cookie. It may be retried after a lost answer.
func (a *Adapter) rekey(ctx context.Context, rekey ticketstore.Rekey, now time.Time) error {
	tickets := a.config.Backend.Tickets()
	return persist(ctx, func(ctx context.Context) error {
		_, err := tickets.Rekey(ctx, rekey, now)
		if err != nil && !IsUnavailable(err) {
			// An earlier attempt whose answer was lost, here or in the backend, may have succeeded.
			if _, unread := tickets.Get(ctx, rekey.NewKey); unread == nil || IsUnavailable(unread) {
				return unread
			}
		}
		return err
	})
}

// randomID returns 128 random bits in hex, for a sid or an operation id.
func randomID() string {
	var raw [16]byte
	rand.Read(raw[:]) // never returns an error
	return hex.EncodeToString(raw[:])
}

// maxHeader truncates stored request headers, so that no sign-in fails because of their length.
const maxHeader = 1 << 10

func trimText(s string) string {
	if len(s) > maxHeader {
		s = s[:maxHeader]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}
