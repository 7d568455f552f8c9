package main

// The consent page.

import (
	"cmp"
	"context"
	"crypto/hmac"
	"net/http"
	"slices"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// The values of the consent page's buttons.
const (
	decisionAllow = "allow"
	decisionDeny  = "deny"
)

// scopeTexts describe the scopes on the consent page.
var scopeTexts = map[string]string{
	"openid":         "Know who you are",
	"profile":        "See your name and user name",
	"email":          "See your email address",
	"offline_access": "Stay signed in when you are away",
}

// reply is the user's answer to a consent page, or zero if the request does not come from one.
type reply struct {
	form     *form
	decision string
	// again requests that the page be shown again even if consent is remembered, because the answer was given
	// to a different page.
	again bool
}

// to returns the reply if it answers the page that this request would show now: it counts once, and only for
// the session, the client and the scopes that the page showed.
func (a reply) to(
	ctx context.Context, p *provider, ar fosite.AuthorizeRequester, session *hostadapter.Session,
) (reply, error) {
	if a.form == nil || a.again {
		return a, nil
	}
	if a.form.SessionID != session.SessionID || !hmac.Equal(a.form.Shown, shownFor(ar, session)) {
		return reply{again: true}, nil
	}
	first, err := p.forms.useOnce(ctx, a.form)
	if !first {
		return reply{}, err // the consent is remembered, unless it was revoked
	}
	return a, nil
}

// shownFor returns the hash of what the consent page shows.
func shownFor(ar fosite.AuthorizeRequester, session *hostadapter.Session) []byte {
	texts := []string{ar.GetClient().GetID(), nameOf(ar), session.SubjectID, ar.GetRedirectURI().String()}
	return hashOf(append(texts, ar.GetRequestedScopes()...)...)
}

// askConsent shows the consent page unless the user need not be asked, and reports whether it has answered
// the request.
func (p *provider) askConsent(
	w http.ResponseWriter, r *http.Request, request pending, ar fosite.AuthorizeRequester,
	session *hostadapter.Session, answer reply, silent bool,
) bool {
	needed, err := p.needsConsent(r.Context(), ar, session, answer)
	switch {
	case err != nil:
		p.unavailable(w, r, err)
		return true
	case !needed:
		return false
	case silent:
		p.deny(w, r, ar, fosite.ErrConsentRequired)
		return true
	}
	token := p.forms.token(w, r, form{
		pending: request, Purpose: forConsent, SessionID: session.SessionID, Shown: shownFor(ar, session),
	})
	data := struct {
		Form, Client, User, Target string
		Again                      bool
		Scopes                     []string
	}{
		Form: token, Again: answer.again, Client: nameOf(ar), User: nameIn(session),
		Target: originOf(ar.GetRedirectURI()),
	}
	for _, scope := range ar.GetRequestedScopes() {
		data.Scopes = append(data.Scopes, cmp.Or(scopeTexts[scope], scope))
	}
	p.render(w, r, http.StatusOK, "consent", "Permission", data, originOf(ar.GetRedirectURI()))
	return true
}

// consent handles the consent form. If the form is stale, it shows the current page; if it has no usable
// request, it redirects to the start page.
func (p *provider) consent(w http.ResponseWriter, r *http.Request) {
	opened, err := p.forms.open(r, forConsent)
	if opened == nil || opened.Query == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	answer := reply{form: opened, decision: r.PostFormValue("decision"), again: err != nil}
	if answer.decision != decisionDeny && (answer.again || answer.decision != decisionAllow) {
		answer = reply{again: true}
	}
	p.proceed(w, r, opened.pending, answer)
}

// needsConsent reports whether the user must be asked. Consent is remembered across sessions until an
// operator revokes it.
func (p *provider) needsConsent(
	ctx context.Context, ar fosite.AuthorizeRequester, session *hostadapter.Session, answer reply,
) (bool, error) {
	c, ok := ar.GetClient().(*client)
	if ok && c.skipConsent {
		return false, nil
	}
	consents, clientID := p.sessions.Consents(), ar.GetClient().GetID()
	if answer.decision == decisionAllow {
		return false, consents.Remember(ctx, session.SubjectID, clientID, ar.GetRequestedScopes(), 0)
	}
	if answer.again || slices.Contains(prompts(ar), "consent") {
		return true, nil
	}
	given, err := consents.Given(ctx, session.SubjectID, clientID, ar.GetRequestedScopes())
	return !given, err
}
