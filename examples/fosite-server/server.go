package main

// The provider and its routes.

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/gorilla/mux"
	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// provider is the OpenID provider.
type provider struct {
	issuer    string
	secrets   *secrets
	clients   map[string]*client
	users     *users
	demo      []*demoClient // their links are shown
	hints     []demoUser    // their passwords are shown
	config    *fosite.Config
	oauth2    fosite.OAuth2Provider
	sessions  *fositestore.Sessions
	forms     *forms
	throttle  *signInThrottle
	operators *operators
	notes     notes
	logger    *slog.Logger
	// audit receives the audit of the admin routes and the account page; nil means the log.
	audit slog.Handler
}

// routes adds the provider's own pages and endpoints to a router; sessions.go mounts those of the session
// manager.
func (p *provider) routes(router *mux.Router) {
	router.HandleFunc("/", p.home).Methods(http.MethodGet, http.MethodHead)
	router.HandleFunc("/login", p.loginPage).Methods(http.MethodGet, http.MethodHead)
	router.HandleFunc("/login", p.login).Methods(http.MethodPost)
	router.HandleFunc("/consent", p.consent).Methods(http.MethodPost)
	router.HandleFunc(pathAuthorize, p.authorize).Methods(http.MethodGet, http.MethodPost)
	router.HandleFunc(pathToken, p.token).Methods(http.MethodPost)
	router.HandleFunc(pathIntrospect, p.introspect).Methods(http.MethodPost)
	router.HandleFunc(pathRevoke, p.revoke).Methods(http.MethodPost)
	router.HandleFunc(pathUserInfo, withCORS(originsOf(p.clients), p.userInfo)).Methods(http.MethodGet,
		http.MethodPost, http.MethodOptions)
	router.HandleFunc(pathJWKS, p.jwks).Methods(http.MethodGet, http.MethodHead)
	for _, path := range []string{
		"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server",
	} {
		router.HandleFunc(path, p.discovery).Methods(http.MethodGet, http.MethodHead)
	}
	router.PathPrefix("/static/").Handler(staticHandler()).Methods(http.MethodGet, http.MethodHead)
	router.MethodNotAllowedHandler = methodNotAllowed(router)
	router.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	router.HandleFunc("/readyz", p.ready)
}

// methodNotAllowed adds the allowed methods of a path (RFC 9110, section 15.5.6), which the router's own
// response lacks.
func methodNotAllowed(router *mux.Router) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			other := r.Clone(r.Context())
			other.Method = method
			var match mux.RouteMatch
			if router.Match(other, &match) && match.MatchErr == nil {
				allowed = append(allowed, method)
			}
		}
		answerNotAllowed(allowed...).ServeHTTP(w, r)
	})
}

// answerNotAllowed answers 405 with the allowed methods.
func answerNotAllowed(allowed ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		http.Error(w, "this address does not take the method of the request", http.StatusMethodNotAllowed)
	})
}

func (p *provider) ready(w http.ResponseWriter, r *http.Request) {
	if err := p.sessions.Ready(r.Context()); err != nil {
		http.Error(w, "the session store is unavailable", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
