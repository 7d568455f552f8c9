package main

// The UserInfo endpoint.

import (
	"errors"
	"net/http"
	"strings"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// userInfo is the UserInfo endpoint (OpenID Connect Core 1.0, section 5.3).
func (p *provider) userInfo(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	token := fosite.AccessTokenFromRequest(r)
	if token == "" {
		// A request without a token gets no error code (RFC 6750, section 3.1).
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	use, request, err := p.oauth2.IntrospectToken(ctx, token, fosite.AccessToken, newSession(), "openid")
	switch {
	case errors.Is(err, ticketstore.ErrUnavailable), errors.Is(err, fosite.ErrTemporarilyUnavailable):
		w.Header().Set("Retry-After", "1")
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "temporarily_unavailable"})
		return
	case err != nil && fosite.ErrorToRFC6749Error(err).StatusCode() >= http.StatusInternalServerError:
		p.refused(r, "userinfo", err)
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
		return
	case errors.Is(err, fosite.ErrInvalidScope):
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="openid"`)
		writeJSON(w, http.StatusForbidden, map[string]string{"error": "insufficient_scope"})
		return
	case err != nil || use != fosite.AccessToken:
		// RFC 6750, section 3.
		w.Header().Set("WWW-Authenticate",
			`Bearer error="invalid_token", error_description="The access token is expired or revoked."`)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	subject := request.GetSession().GetSubject()
	if subject == "" { // a client's own token, or one whose session names no user
		w.Header().Set("WWW-Authenticate",
			`Bearer error="insufficient_scope", error_description="The access token is not a user's."`)
		writeJSON(w, http.StatusForbidden, map[string]string{"error": "insufficient_scope"})
		return
	}
	claims := map[string]any{"sub": subject}
	if u := p.users.bySubject[subject]; u != nil {
		u.claims(request.GetGrantedScopes(), claims)
	}
	writeJSON(w, http.StatusOK, claims)
}

// claims adds the claims of the scopes (OpenID Connect Core 1.0, section 5.4). Unknown values are omitted.
func (u *user) claims(scopes fosite.Arguments, claims map[string]any) {
	if scopes.Has("profile") {
		setText(claims, "name", u.name)
		setText(claims, "preferred_username", u.username)
	}
	if scopes.Has("email") {
		setText(claims, "email", u.email)
	}
}

func setText(claims map[string]any, name, value string) {
	if strings.TrimSpace(value) != "" {
		claims[name] = value
	}
}
