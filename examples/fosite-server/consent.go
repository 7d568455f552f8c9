package main

import (
	"context"
	"net/http"
	"slices"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// What the buttons of the consent page say.
const (
	decisionAllow = "allow"
	decisionDeny  = "deny"
)

// scopeTexts is what the consent page says of each scope.
var scopeTexts = map[string]string{
	"openid":         "Know who you are",
	"profile":        "See your name and user name",
	"email":          "See your email address",
	"offline_access": "Stay signed in when you are away",
}

// askConsent shows the consent page unless the user need not be asked, and tells whether it has answered the request.
func (p *provider) askConsent(
	w http.ResponseWriter, r *http.Request, request pending, ar fosite.AuthorizeRequester, session *hostadapter.Session, decision string, silent bool,
) bool {
	needed, err := p.needsConsent(r.Context(), ar, session, decision)
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
	form, err := p.forms.token(w, r, request)
	if err != nil {
		p.failed(w, r, err)
		return true
	}
	data := struct {
		Form, Client, User, Target string
		Scopes                     []string
	}{Form: form, Client: nameOf(ar), User: nameIn(session), Target: originOf(ar.GetRedirectURI())}
	for _, scope := range ar.GetRequestedScopes() {
		text := scopeTexts[scope]
		if text == "" {
			text = scope
		}
		data.Scopes = append(data.Scopes, text)
	}
	p.render(w, r, http.StatusOK, "consent", "Permission", data, originOf(ar.GetRedirectURI()))
	return true
}

// consent takes the consent form.
func (p *provider) consent(w http.ResponseWriter, r *http.Request) {
	request, err := p.forms.open(r)
	decision := r.PostFormValue("decision")
	if err != nil || request.Query == "" || (decision != decisionAllow && decision != decisionDeny) {
		p.problem(w, r, http.StatusForbidden, "Please start again", "This form cannot be used: "+errForm.Error()+".", "")
		return
	}
	p.proceed(w, r, *request, decision)
}

// needsConsent tells whether the user must be asked. A yes is remembered for all sessions until somebody revokes the consent.
func (p *provider) needsConsent(ctx context.Context, ar fosite.AuthorizeRequester, session *hostadapter.Session, decision string) (bool, error) {
	c, ok := ar.GetClient().(*client)
	if ok && c.skipConsent {
		return false, nil
	}
	consents, clientID := p.sessions.Consents(), ar.GetClient().GetID()
	if decision == decisionAllow {
		return false, consents.Remember(ctx, session.SubjectID, clientID, ar.GetRequestedScopes(), 0)
	}
	if slices.Contains(prompts(ar), "consent") {
		return true, nil
	}
	given, err := consents.Given(ctx, session.SubjectID, clientID, ar.GetRequestedScopes())
	return !given, err
}
