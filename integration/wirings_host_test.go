package integration

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// wiredHost is a server in this process on the installed plugin, with its own session type.
type wiredHost struct {
	*wired
	sm     *fositestore.Sessions
	oauth2 fosite.OAuth2Provider
	store  *storage.MemoryStore
	// newSession returns the fosite session of a user of that tenant, or of a token request.
	newSession func(tenant string) fosite.Session
}

// startHost serves what router returns.
func startHost(
	t *testing.T, w *wired, newSession func(tenant string) fosite.Session,
	router func(h *wiredHost) http.Handler,
) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	w.serves(server.Listener.Addr().String())
	secret := randomText() + randomText()
	handedOut("global secret", secret)
	backend := openPlugin(t, badgerConfig(t))
	w.pluginID = backend.PID
	config := &fosite.Config{IDTokenIssuer: w.issuer, GlobalSecret: []byte(secret)}
	h := &wiredHost{wired: w, store: w.settings.store(storage.NewExampleStore()), newSession: newSession}
	key, err := w.settings.key(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	keyFunc := func(context.Context) (any, error) { return key, nil }
	h.sm, err = fositestore.Attach(t.Context(), w.settings.loopback(fositestore.Config{
		Backend: backend, Fosite: config, Store: h.store, Key: keyFunc,
		Host: hostadapter.Config{Logger: slog.New(slog.NewTextHandler(w.log, nil))},
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.sm.Close() })
	h.oauth2 = h.sm.Provider(compose.ComposeAllEnabled(config, h.sm.Store(), key))
	server.Config.Handler = router(h)
	server.Start()
	t.Cleanup(server.Close)
}

// authorize redirects users without a session to /login, and answers requests of the others.
func (h *wiredHost) authorize(w http.ResponseWriter, r *http.Request) {
	ctx, sm := r.Context(), h.sm
	ar, err := h.oauth2.NewAuthorizeRequest(ctx, r)
	if err != nil {
		h.oauth2.WriteAuthorizeError(ctx, w, ar, err)
		return
	}
	// drop-in
	session, err := sm.Session(r)
	if err == nil && (session == nil || sm.NeedsSignIn(session, ar)) {
		var back string
		if back, err = sm.ReturnURL(w, r, ar); err == nil {
			http.Redirect(w, r, "/login?back="+url.QueryEscape(back), http.StatusSeeOther)
			return
		}
	}
	// drop-in
	if err != nil {
		h.oauth2.WriteAuthorizeError(ctx, w, ar, err)
		return
	}
	for _, scope := range ar.GetRequestedScopes() {
		ar.GrantScope(scope)
	}
	response, err := h.oauth2.NewAuthorizeResponse(ctx, ar, h.newSession(h.tenant))
	if err != nil {
		h.oauth2.WriteAuthorizeError(ctx, w, ar, err)
		return
	}
	h.oauth2.WriteAuthorizeResponse(ctx, w, ar, response)
}

// welcome signs a user in and redirects the browser to the authorization request.
func (h *wiredHost) welcome(w http.ResponseWriter, r *http.Request, user, back string) {
	if !strings.HasPrefix(back, "/oauth2/auth?") {
		http.Error(w, "back is not the authorization endpoint", http.StatusBadRequest)
		return
	}
	if _, err := h.sm.SignIn(w, r, hostadapter.Identity{Subject: user, DisplayName: user}); err != nil {
		http.Error(w, "sign-in is not available", http.StatusServiceUnavailable)
		return
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}

func (h *wiredHost) token(w http.ResponseWriter, r *http.Request) {
	var response fosite.AccessResponder
	ar, err := h.oauth2.NewAccessRequest(r.Context(), r, h.newSession(""))
	if err == nil {
		response, err = h.oauth2.NewAccessResponse(r.Context(), ar)
	}
	if err != nil {
		h.oauth2.WriteAccessError(r.Context(), w, ar, err)
		return
	}
	h.oauth2.WriteAccessResponse(r.Context(), w, ar, response)
}

func (h *wiredHost) introspect(w http.ResponseWriter, r *http.Request) {
	response, err := h.oauth2.NewIntrospectionRequest(r.Context(), r, h.newSession(""))
	if err != nil {
		h.oauth2.WriteIntrospectionError(r.Context(), w, err)
		return
	}
	h.oauth2.WriteIntrospectionResponse(r.Context(), w, response)
}

// loginForm returns the user who submitted the form, or shows the form.
func loginForm(
	store *storage.MemoryStore, w http.ResponseWriter, r *http.Request,
) (user string, ok bool) {
	user = r.PostFormValue("user")
	if _, err := store.Authenticate(r.Context(), user, r.PostFormValue("password")); err == nil {
		return user, true
	}
	_, _ = io.WriteString(w, `<form method="post"><input name="user"><input name="password"></form>`)
	return "", false
}

// startOnChi has a login page.
func startOnChi(t *testing.T, w *wired) {
	t.Helper()
	newSession := func(string) fosite.Session { return openid.NewDefaultSession() }
	startHost(t, w, newSession, func(h *wiredHost) http.Handler {
		router := chi.NewRouter()
		router.Use(h.sm.Middleware)
		router.HandleFunc("/oauth2/auth", h.authorize)
		router.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
			if user, ok := loginForm(h.store, w, r); ok {
				h.welcome(w, r, user, r.URL.Query().Get("back"))
			}
		})
		router.Post("/oauth2/token", h.token)
		router.Post("/oauth2/introspect", h.introspect)
		operations := admin.Config{Operations: h.sm.Operations(), Authorize: h.operator}
		router.Mount("/admin", http.StripPrefix("/admin", admin.Handler(operations)))
		router.Handle("/logout", h.sm.EndSession())
		return router
	})
}

// operator requires the admin token.
func (h *wiredHost) operator(r *http.Request, _ admin.Permission) (admin.Actor, error) {
	if r.Header.Get("Authorization") != "Bearer "+h.adminToken {
		return admin.Actor{}, admin.ErrUnauthenticated
	}
	return admin.Actor{Name: "operator"}, nil
}
