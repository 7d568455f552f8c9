package integration

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/mux"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter/admin"
)

// tenantSession is a custom session type.
type tenantSession struct {
	*openid.DefaultSession
	Tenant string
}

func newTenantSession(tenant string) fosite.Session {
	return &tenantSession{openid.NewDefaultSession(), tenant}
}

func (s *tenantSession) Clone() fosite.Session {
	inner, _ := s.DefaultSession.Clone().(*openid.DefaultSession)
	return &tenantSession{inner, s.Tenant}
}

// GetExtraClaims returns claims that introspection shows.
func (s *tenantSession) GetExtraClaims() map[string]any { return map[string]any{"tenant": s.Tenant} }

// startOnMux signs users in at an upstream provider, whose callback does not have the authorization request.
func startOnMux(t *testing.T, w *wired) {
	t.Helper()
	w.tenant = "acme"
	startHost(t, w, newTenantSession, func(h *wiredHost) http.Handler {
		other := newUpstream(t, h.issuer+"/callback")
		var mutex sync.Mutex
		backs := map[string]string{} // by state
		sm, operator, router := h.sm, h.operator, mux.NewRouter()
		// drop-in
		router.Use(sm.Middleware)
		admin.Mount(router.PathPrefix("/admin").Subrouter(), sm, operator)
		router.Handle("/logout", sm.EndSession())
		// drop-in
		router.HandleFunc("/oauth2/auth", h.authorize)
		router.HandleFunc("/oauth2/token", h.token)
		router.HandleFunc("/oauth2/introspect", h.introspect)
		router.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
			state := randomText()
			mutex.Lock()
			backs[state] = r.URL.Query().Get("back")
			mutex.Unlock()
			http.Redirect(w, r, other.url+"/authorize?state="+state, http.StatusSeeOther)
		})
		router.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
			mutex.Lock()
			back := backs[r.URL.Query().Get("state")]
			delete(backs, r.URL.Query().Get("state"))
			mutex.Unlock()
			user, err := other.userOf(r.Context(), r.URL.Query().Get("code"))
			if err != nil {
				http.Error(w, "the upstream provider does not know the code", http.StatusBadGateway)
				return
			}
			h.welcome(w, r, user, back)
		})
		return router
	})
}

// upstream is the upstream provider: a form, a redirect with a code, and the user of a code.
type upstream struct{ url string }

func newUpstream(t *testing.T, callback string) *upstream {
	t.Helper()
	store := storage.NewExampleStore()
	var users sync.Map // by code
	routes := http.NewServeMux()
	routes.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		user, ok := loginForm(store, w, r)
		if !ok {
			return
		}
		code := randomText()
		users.Store(code, user)
		query := url.Values{"code": {code}, "state": {r.URL.Query().Get("state")}}
		http.Redirect(w, r, callback+"?"+query.Encode(), http.StatusSeeOther)
	})
	routes.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		user, known := users.LoadAndDelete(r.PostFormValue("code"))
		if !known {
			http.Error(w, "unknown code", http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(user)
	})
	server := httptest.NewServer(routes)
	t.Cleanup(server.Close)
	return &upstream{server.URL}
}

func (u *upstream) userOf(ctx context.Context, code string) (user string, err error) {
	form := strings.NewReader(url.Values{"code": {code}}.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url+"/token", form)
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	err = json.NewDecoder(response.Body).Decode(&user)
	return user, err
}
