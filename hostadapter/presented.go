package hostadapter

// The session cookies of a request: there may be several with one name (rule 13).

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// maxCookies bounds the session cookies of one request that are looked up. A browser sends several with one
// name if another host of the domain, or the server under a different Cookie.Domain, has set them; the server
// can neither distinguish them nor rely on their order (RFC 6265, section 5.4).
const maxCookies = 8

// presented is a live session whose cookie a request contains.
type presented struct {
	record *ticketstore.Session
	// session is nil if the record is not accepted, because its ticket cannot be opened or has a different
	// issuer.
	session *Session
	// opened is the content of the ticket, whatever its issuer, or nil if it cannot be opened.
	opened *Session
	// former: see public.
	former bool
}

// secrets returns the secrets to look up for a request: first that of a SignIn in this request, then those of
// its cookies.
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

// present returns all live sessions of the browser.
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

// presentedBy returns the live session with the secret, or nil.
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
	// A ticket that cannot be opened is not accepted, but must not block a sign-in: the next one ends the
	// session. The failure is logged.
	if err != nil {
		return p
	}
	p.opened = session
	if session.Issuer == a.config.Issuer {
		p.session, p.former = session, former
	}
	return p
}

// isOf reports whether the session belongs to the user and to this issuer.
func (p *presented) isOf(subject string) bool {
	return p.session != nil && p.session.SubjectID == subject
}

// askedAbout returns the session whose user must confirm its end: the first valid one, or else the first one
// of a different issuer, or nil: a session that cannot be opened ends without confirmation.
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

// signOutOf ends all of the sessions, even if one of them fails, and counts the notified clients.
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
