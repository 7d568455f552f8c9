package fositestore_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"log"
	"net/http"
	"net/url"
	"os"

	"github.com/gorilla/mux"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/plugin"
)

// The server without sessions: its fosite configuration, client store, key, router, and login form.
var (
	config = &fosite.Config{
		IDTokenIssuer: "https://id.example.com", GlobalSecret: []byte(os.Getenv("SECRET")),
	}
	store         = storage.NewMemoryStore()
	privateKey, _ = rsa.GenerateKey(rand.Reader, 2048)
	router        = mux.NewRouter()
)

// loginForm returns the user who submitted the form, or shows the form and returns false.
func loginForm(http.ResponseWriter, *http.Request) (user string, ok bool) { return "42", true }

// operator authorizes requests to the admin routes.
func operator(*http.Request, admin.Permission) (admin.Actor, error) {
	return admin.Actor{}, admin.ErrUnauthenticated
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Adds sessions to a server with a gorilla/mux router.
func Example() {
	ctx := context.Background()
	backend, err := plugin.Open(ctx,
		plugin.Config{Path: "sessions-badger", Settings: map[string]string{"path": "sessions"}})
	check(err)
	defer backend.Close()
	keyFunc := func(context.Context) (any, error) { return privateKey, nil }
	sm, err := fositestore.Attach(ctx,
		fositestore.Config{Backend: backend, Fosite: config, Store: store, Key: keyFunc})
	check(err)
	defer sm.Close()
	// was: store in place of sm.Store()
	oauth2 := sm.Provider(compose.ComposeAllEnabled(config, sm.Store(), privateKey))
	router.Use(sm.Middleware)
	admin.Mount(router.PathPrefix("/admin").Subrouter(), sm, operator)
	router.Handle("/logout", sm.EndSession())

	router.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		ar, err := oauth2.NewAuthorizeRequest(ctx, r)
		if err != nil {
			oauth2.WriteAuthorizeError(ctx, w, ar, err)
			return
		}
		session, err := sm.Session(r)
		if err == nil && (session == nil || sm.NeedsSignIn(session, ar)) { // prompt, max_age, acr
			user, ok := loginForm(w, r)
			if !ok {
				return
			}
			session, err = sm.SignIn(w, r, hostadapter.Identity{Subject: user, DisplayName: "Ann"})
		}
		if err != nil {
			oauth2.WriteAuthorizeError(ctx, w, ar, err)
			return
		}
		for _, scope := range ar.GetRequestedScopes() {
			ar.GrantScope(scope)
		}
		hostSession := openid.NewDefaultSession()
		hostSession.Subject = session.SubjectID
		// the Provider binds: iss, sub, sid, auth_time, acr, amr
		response, err := oauth2.NewAuthorizeResponse(ctx, ar, hostSession)
		if err != nil {
			oauth2.WriteAuthorizeError(ctx, w, ar, err)
			return
		}
		oauth2.WriteAuthorizeResponse(ctx, w, ar, response)
	})
	check(http.ListenAndServe("localhost:9000", router))
}

// A server with a separate login page redirects the browser there, and back.
func Example_loginPage() {
	var (
		sm     *fositestore.Sessions
		oauth2 fosite.OAuth2Provider
	)
	http.HandleFunc("/oauth2/auth", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		ar, err := oauth2.NewAuthorizeRequest(ctx, r)
		if err != nil {
			oauth2.WriteAuthorizeError(ctx, w, ar, err)
			return
		}
		session, err := sm.Session(r)
		if err == nil && (session == nil || sm.NeedsSignIn(session, ar)) {
			var back string
			if back, err = sm.ReturnURL(w, r, ar); err == nil {
				http.Redirect(w, r, "/login?back="+url.QueryEscape(back), http.StatusSeeOther)
				return
			}
		}
		if err != nil {
			oauth2.WriteAuthorizeError(ctx, w, ar, err)
		}
	})
}
