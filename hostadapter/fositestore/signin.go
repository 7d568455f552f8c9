package fositestore

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// NeedsSignIn tells whether an authorization request asks for more than the session has to offer, so that the login form must be shown
// although the user is signed in (OpenID Connect Core 1.0, section 3.1.2.1): prompt=login or select_account and a sign-in before the
// request, a sign-in longer ago than max_age, or an acr that is not among acr_values, where the host has signed in with one. Nobody
// signed in needs to.
//
// A host whose login form is a page of its own, which sends the browser back to the authorization endpoint, takes "prompt" out of the
// request on the way back: otherwise it comes again as a new request for a new sign-in.
func NeedsSignIn(session *hostadapter.Session, request fosite.AuthorizeRequester) bool {
	if session == nil {
		return true
	}
	form := request.GetRequestForm()
	stale := session.AuthTime.Before(request.GetRequestedAt())
	for _, prompt := range prompts(request) {
		if (prompt == "login" || prompt == "select_account") && stale {
			return true
		}
	}
	if seconds, err := strconv.ParseInt(form.Get("max_age"), 10, 32); err == nil && seconds >= 0 {
		if session.AuthTime.Add(time.Duration(seconds) * time.Second).Before(request.GetRequestedAt()) {
			return true
		}
	}
	acrs := strings.Fields(form.Get("acr_values"))
	return session.ACR != "" && len(acrs) > 0 && !slices.Contains(acrs, session.ACR)
}

func prompts(request fosite.AuthorizeRequester) []string {
	return strings.Fields(request.GetRequestForm().Get("prompt"))
}

// mustNotAsk tells whether the request forbids any page to be shown to the user.
func mustNotAsk(request fosite.AuthorizeRequester) bool {
	return slices.Contains(prompts(request), "none") && request.GetRequestedScopes().Has("openid")
}
