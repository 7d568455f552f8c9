package main

// The authorization endpoint.

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// authorize is the authorization endpoint. If the user must sign in or consent first, the form's handler
// continues the request.
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.problem(w, r, http.StatusBadRequest, "The request cannot be read",
			"Its parameters are not form-encoded.", "invalid_request")
		return
	}
	p.proceed(w, r, pending{Query: r.Form.Encode(), Started: time.Now()}, reply{})
}

// proceed continues an authorization request with the sign-in page, the consent page, or the response to the
// client.
func (p *provider) proceed(w http.ResponseWriter, r *http.Request, request pending, answer reply) {
	ctx := r.Context()
	ar, err := p.oauth2.NewAuthorizeRequest(ctx, request.request(r))
	if err != nil {
		p.deny(w, r, ar, err)
		return
	}
	if concrete, ok := ar.(*fosite.AuthorizeRequest); ok {
		concrete.RequestedAt = request.Started
	}
	// A denial is accepted even if the page is stale or was submitted before.
	if answer.decision == decisionDeny {
		if _, err := p.forms.useOnce(ctx, answer.form); err != nil {
			p.unavailable(w, r, err)
			return
		}
		p.deny(w, r, ar, fosite.ErrAccessDenied.WithHint("The user has refused."))
		return
	}
	session, err := p.sessions.Session(r)
	if err != nil {
		p.unavailable(w, r, err)
		return
	}
	silent := slices.Contains(prompts(ar), "none")
	if session == nil || p.sessions.NeedsSignIn(session, ar) {
		if silent {
			p.deny(w, r, ar, fosite.ErrLoginRequired)
			return
		}
		p.showLogin(w, r, http.StatusOK, request,
			loginForm{Client: nameOf(ar), Current: nameIn(session), target: originOf(ar.GetRedirectURI())})
		return
	}
	if answer, err = answer.to(ctx, p, ar, session); err != nil {
		p.unavailable(w, r, err)
		return
	}
	if done := p.askConsent(w, r, request, ar, session, answer, silent); done {
		return
	}
	p.grant(w, r, ar, session)
}

// grant answers the client.
func (p *provider) grant(
	w http.ResponseWriter, r *http.Request, ar fosite.AuthorizeRequester, session *hostadapter.Session,
) {
	ctx := r.Context()
	for _, scope := range ar.GetRequestedScopes() {
		ar.GrantScope(scope)
	}
	response, err := p.oauth2.NewAuthorizeResponse(ctx, ar, p.authorizeSession(ar, session))
	if err != nil {
		p.deny(w, r, ar, err)
		return
	}
	p.oauth2.WriteAuthorizeResponse(ctx, w, ar, response)
}

// authorizeSession returns the host's own fosite session with the claims that this server adds to ID tokens.
// The session manager adds iss, sub, sid, auth_time, acr and amr.
func (p *provider) authorizeSession(
	ar fosite.AuthorizeRequester, session *hostadapter.Session,
) *openid.DefaultSession {
	s := newSession()
	if u := p.users.bySubject[session.SubjectID]; u != nil {
		s.Username = u.username
		u.claims(ar.GetGrantedScopes(), s.Claims.Extra)
	}
	s.Claims.RequestedAt = ar.GetRequestedAt()
	return s
}

// deny redirects to the client with an error, or shows the error to the user if the client cannot be trusted.
func (p *provider) deny(w http.ResponseWriter, r *http.Request, ar fosite.AuthorizeRequester, err error) {
	p.refused(r, "authorize", err)
	if ar == nil || !ar.IsRedirectURIValid() {
		reason := fosite.ErrorToRFC6749Error(err)
		status := reason.StatusCode()
		if status == http.StatusUnauthorized { // an unknown client: nobody authenticates here
			status = http.StatusBadRequest
		}
		p.problem(w, r, status, "The application's request is wrong", reason.GetDescription(),
			reason.ErrorField)
		return
	}
	p.oauth2.WriteAuthorizeError(r.Context(), w, ar, err)
}

// problem shows an error page.
func (p *provider) problem(w http.ResponseWriter, r *http.Request, status int, title, message, code string) {
	data := struct{ Title, Message, Code string }{title, message, code}
	p.render(w, r, status, "error", title, data, "")
}

// failed answers an internal error.
func (p *provider) failed(w http.ResponseWriter, r *http.Request, err error) {
	p.logger.ErrorContext(r.Context(), "page could not be rendered", "path", r.URL.Path, "error", err)
	p.problem(w, r, http.StatusInternalServerError, "Something went wrong", "Please try again.",
		"server_error")
}

// unavailable answers that the session store is unavailable. The user keeps the cookie.
func (p *provider) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	p.logger.ErrorContext(r.Context(), "session store failed", "error", err)
	w.Header().Set("Retry-After", "1")
	p.problem(w, r, http.StatusServiceUnavailable, "One moment, please",
		"Sessions are unavailable at the moment. Please try again.", "temporarily_unavailable")
}

func (p *provider) render(
	w http.ResponseWriter, r *http.Request, status int, name, title string, data any, formTarget string,
) {
	if err := render(w, status, name, page{Title: title, Site: siteName, Accent: "server", Data: data},
		formTarget); err != nil {
		p.logger.WarnContext(r.Context(), "page was not written", "page", name, "error", err)
	}
}

func prompts(ar fosite.AuthorizeRequester) []string {
	return strings.Fields(ar.GetRequestForm().Get("prompt"))
}

func nameOf(ar fosite.AuthorizeRequester) string {
	if c, ok := ar.GetClient().(*client); ok {
		return c.displayName()
	}
	return ar.GetClient().GetID()
}

func nameIn(session *hostadapter.Session) string {
	if session == nil {
		return ""
	}
	return cmp.Or(session.DisplayName, session.SubjectID)
}
