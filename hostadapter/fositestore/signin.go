package fositestore

// NeedsSignIn and NeedsConsent: what a request requires beyond the session.

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// NeedsSignIn reports whether the login form must be shown for an authorization request although the user is
// signed in (OpenID Connect Core 1.0, section 3.1.2.1). It must be shown for:
//
//   - prompt=login or select_account
//   - a sign-in longer ago than max_age, or than the client's default_max_age: the method GetDefaultMaxAge()
//     *int of the host's client type, in seconds
//   - an id_token_hint of another user
//   - acr_values that do not include the session's acr, if the host signed the user in with one
//
// It returns true if session is nil. A user who has signed in since the request arrived is not asked again:
// fosite refuses what is still unmet, except acr_values, which are voluntary. fosite does not read the claims
// parameter, which could make an acr essential.
//
// A host whose login form is a page of its own or belongs to another provider returns the browser by
// Sessions.ReturnURL: the request is then evaluated as of the time at which the user was first asked.
func NeedsSignIn(session *hostadapter.Session, request fosite.AuthorizeRequester) bool {
	if session == nil {
		return true
	}
	// fosite refuses an auth_time that is further ahead of its clock, which was set back since.
	if request.GetRequestedScopes().Has("openid") && session.AuthTime.After(time.Now().Add(authTimeLeeway)) {
		return true
	}
	form := request.GetRequestForm()
	if age, ok := maxAge(request); ok && !isSince(session.AuthTime.Add(age), request.GetRequestedAt()) {
		return true
	}
	if isSince(session.AuthTime, request.GetRequestedAt()) {
		return false
	}
	if p := prompts(request); slices.Contains(p, "login") || slices.Contains(p, "select_account") {
		return true
	}
	if subject := hintedSubject(form.Get("id_token_hint")); subject != "" && subject != session.SubjectID {
		return true
	}
	acrs := strings.Fields(form.Get("acr_values"))
	return session.ACR != "" && len(acrs) > 0 && !slices.Contains(acrs, session.ACR)
}

// authTimeLeeway is how far fosite lets an auth_time be ahead of its clock.
const authTimeLeeway = 5 * time.Second

// maxAgeClient is a client with a default_max_age in seconds, nil for none (OpenID Connect Dynamic Client
// Registration 1.0, section 2).
type maxAgeClient interface{ GetDefaultMaxAge() *int }

// maxAge returns the maximum age of the sign-in: the request's max_age, else the client's default.
func maxAge(request fosite.AuthorizeRequester) (age time.Duration, ok bool) {
	seconds, err := strconv.ParseInt(request.GetRequestForm().Get("max_age"), 10, 32)
	if err != nil || seconds < 0 {
		client, has := request.GetClient().(maxAgeClient)
		if !has || client.GetDefaultMaxAge() == nil {
			return 0, false
		}
		seconds = int64(max(*client.GetDefaultMaxAge(), 0))
	}
	return time.Duration(min(seconds, math.MaxInt32)) * time.Second, true
}

// isSince reports whether t is not before other. If t is in whole seconds, as the auth_time of another
// provider, other is truncated to seconds.
func isSince(t, other time.Time) bool {
	if t.Nanosecond() == 0 {
		other = other.Truncate(time.Second)
	}
	return !t.Before(other)
}

// NeedsConsent reports whether the user must be asked before the client gets the requested scopes: Consents
// do not remember all of them, or prompt=consent requires asking again (OpenID Connect Core 1.0, section
// 3.1.2.1). session is the user's. If the user consents, call Consents().Remember with the scopes and grant
// them. A separate consent page returns the browser by ReturnURL. If the user allowed only some of the
// scopes, or the request has none, the host must keep that decision for the request that returns: there is
// nothing to remember that covers it. With prompt=none, answer the client with fosite.ErrConsentRequired. If
// the store is unavailable, the error is ticketstore.ErrUnavailable.
func (s *Sessions) NeedsConsent(
	ctx context.Context, session *hostadapter.Session, request fosite.AuthorizeRequester,
) (bool, error) {
	scopes := request.GetRequestedScopes()
	consent, err := s.Consents().Find(ctx, session.SubjectID, request.GetClient().GetID())
	switch {
	case errors.Is(err, ticketstore.ErrNotFound):
		return true, nil
	case err != nil:
		return true, asUnavailable(err)
	case !consent.Covers(scopes):
		return true, nil
	case !slices.Contains(prompts(request), "consent"):
		return false, nil
	}
	return slices.ContainsFunc(consent.Scopes, func(given hostadapter.ConsentedScope) bool {
		return scopes.Has(given.Scope) && given.Given.Before(request.GetRequestedAt())
	}), nil
}

// hintedSubject returns the sub of an ID token without verifying the token: a forged token only makes the
// user sign in, as prompt=login would, and fosite then refuses it.
func hintedSubject(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	_ = json.Unmarshal(raw, &claims)
	return claims.Subject
}

func prompts(request fosite.AuthorizeRequester) []string {
	return strings.Fields(request.GetRequestForm().Get("prompt"))
}

// forbidsPages reports whether the request forbids showing any page to the user.
func forbidsPages(request fosite.AuthorizeRequester) bool {
	return slices.Contains(prompts(request), "none") && request.GetRequestedScopes().Has("openid")
}
