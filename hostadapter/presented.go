package hostadapter

// The session cookies that a request presents: there may be several of one name (rule 13).

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// maxCookies bounds how many session cookies of one request are looked up. A browser sends several of one
// name where another host of the domain, or the server under another Cookie.Domain, has set its own; the
// server can neither distinguish them nor rely on their order (RFC 6265, section 5.4).
const maxCookies = 8

// presented is a live session whose cookie a request brings.
type presented struct {
	record *ticketstore.Session
	// session is nil where the record is not accepted: its ticket cannot be opened, or it is of another
	// issuer.
	session *Session
	// opened is what the ticket says, whatever its issuer. It is nil where the ticket cannot be opened.
	opened *Session
	// former: see public.
	former bool
}

// secrets returns what a request brings to be looked up: that of SignIn in this request first, then the
// cookies'.
func (a *Adapter) secrets(r *http.Request) []secret {
	secrets, _ := a.readCookies(r)
	if h := a.holder(r.Context()); h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.secret != nil && !slices.Contains(secrets, *h.secret) {
			secrets = slices.Insert(secrets, 0, *h.secret)
		}
	}
	return secrets
}

// present returns every live session that the browser has.
func (a *Adapter) present(r *http.Request) (all []presented, err error) {
	for _, s := range a.secrets(r) {
		p, err := a.presentedBy(r.Context(), s)
		if err != nil {
			return nil, err
		}
		if p != nil {
			all = append(all, *p)
		}
	}
	return all, nil
}

// presentedBy returns nil where there is no live session under the secret.
func (a *Adapter) presentedBy(ctx context.Context, s secret) (*presented, error) {
	record, err := a.live(ctx, s.key())
	if err != nil || record == nil {
		return nil, err
	}
	return a.judged(record), nil
}

// judged opens the ticket of a live record.
func (a *Adapter) judged(record *ticketstore.Session) *presented {
	p := &presented{record: record}
	session, former, err := a.public(record)
	// What cannot be opened is not accepted and blocks no sign-in: the next one
	// ends it. That it could not be opened is in the log.
	if err != nil {
		return p
	}
	p.opened = session
	if session.Issuer == a.config.Issuer {
		p.session, p.former = session, former
	}
	return p
}

// isOf reports whether the session is one of that user, and of this issuer.
func (p *presented) isOf(subject string) bool {
	return p.session != nil && p.session.SubjectID == subject
}

// askedAbout returns the session whose user is asked whether it may end: the first valid one, else
// the first of another issuer, else nil: what cannot be opened ends without a question.
func askedAbout(all []presented) *presented {
	i := slices.IndexFunc(all, func(p presented) bool { return p.session != nil })
	if i < 0 {
		i = slices.IndexFunc(all, func(p presented) bool { return p.opened != nil })
	}
	if i < 0 {
		return nil
	}
	return &all[i]
}

// signOutOf ends each of the sessions, also where one of them cannot be ended, and counts the clients that
// are notified.
func (a *Adapter) signOutOf(
	ctx context.Context, records []*ticketstore.Session,
) (notifications int, err error) {
	var errs []error
	for _, record := range records {
		result, err := a.signOut(ctx, record)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		notifications += result.NotificationsQueued
	}
	return notifications, errors.Join(errs...)
}

func recordsOf(all []presented) (records []*ticketstore.Session) {
	for i := range all {
		records = append(records, all[i].record)
	}
	return records
}
