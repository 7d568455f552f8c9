package main

// Cross-origin requests from scripts.

import (
	"net/http"
	"net/url"
	"strings"
)

// originsOf returns the origins of the clients' redirect URIs, from which scripts may call the endpoints.
func originsOf(clients map[string]*client) map[string]bool {
	origins := map[string]bool{}
	for _, c := range clients {
		for _, uri := range c.redirectURIs {
			u, err := url.Parse(uri)
			if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
				continue // an application's own scheme has no origin
			}
			host := strings.ToLower(u.Host)
			if u.Scheme == "http" {
				host = strings.TrimSuffix(host, ":80")
			} else {
				host = strings.TrimSuffix(host, ":443")
			}
			origins[u.Scheme+"://"+host] = true
		}
	}
	return origins
}

// withCORS permits scripts of these origins to send requests with an access token, and answers
// preflights (OpenID Connect Core 1.0, section 5.3; Fetch, CORS protocol). Cookies are not used.
func withCORS(origins map[string]bool, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origins[origin] {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate")
			w.Header().Set("Access-Control-Allow-Headers", "Authorization")
			w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next(w, r)
	}
}
