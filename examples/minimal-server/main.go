// Command minimal-server is the smallest OpenID provider with sessions: fosite, net/http, and README's lines.
// It has fosite's demo users and clients, finds sessions-badger in PATH, and takes SECRET (32 bytes to keep)
// and ADMIN_TOKEN from the environment.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/plugin"
)

// server is the server without sessions, plus sm.
type server struct {
	addr   string
	mux    *http.ServeMux
	config *fosite.Config
	store  *storage.MemoryStore
	key    *rsa.PrivateKey
	oauth2 fosite.OAuth2Provider
	sm     *fositestore.Sessions
}

func main() {
	key, _ := rsa.GenerateKey(rand.Reader, 2048) // never fails; a real server stores its key
	addr := cmp.Or(os.Getenv("ADDR"), "localhost:9000")
	s := &server{addr: addr, mux: http.NewServeMux(), store: storage.NewExampleStore(), key: key}
	s.config = &fosite.Config{IDTokenIssuer: "http://" + addr, GlobalSecret: []byte(os.Getenv("SECRET"))}
	s.mux.HandleFunc("/oauth2/auth", s.authorize)
	s.mux.HandleFunc("POST /oauth2/token", s.token)
	s.mux.HandleFunc("POST /oauth2/introspect", s.introspect)
	log.Fatal(s.serve(context.Background()))
}

// drop-in
// serve adds sessions to a server that has mux, config, store and key.
func (s *server) serve(ctx context.Context) error {
	settings := map[string]string{"path": "sessions"}
	backend, err := plugin.Open(ctx, plugin.Config{Path: "sessions-badger", Settings: settings})
	if err != nil {
		return err
	}
	defer backend.Close()
	keyFunc := func(context.Context) (any, error) { return s.key, nil }
	config := fositestore.Config{Backend: backend, Fosite: s.config, Store: s.store, Key: keyFunc}
	s.sm, err = fositestore.Attach(ctx, config)
	if err != nil {
		return err
	}
	defer s.sm.Close()
	s.oauth2 = s.sm.Provider(compose.ComposeAllEnabled(s.config, s.sm.Store(), s.key)) // was: s.store
	routes := admin.Handler(admin.Config{Operations: s.sm.Operations(), Authorize: operator})
	s.mux.Handle("/admin/", http.StripPrefix("/admin", routes))
	s.mux.Handle("/logout", s.sm.EndSession())
	server := &http.Server{Addr: s.addr, Handler: s.sm.Middleware(s.mux), ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// drop-in
func (s *server) authorize(w http.ResponseWriter, r *http.Request) {
	ar, err := s.oauth2.NewAuthorizeRequest(r.Context(), r)
	if err != nil {
		s.oauth2.WriteAuthorizeError(r.Context(), w, ar, err)
		return
	}
	// drop-in
	session, err := s.sm.Session(r)
	if err == nil && (session == nil || s.sm.NeedsSignIn(session, ar)) { // prompt, max_age, acr
		user, ok := s.loginForm(w, r)
		if !ok {
			return
		}
		_, err = s.sm.SignIn(w, r, hostadapter.Identity{Subject: user, DisplayName: user})
	}
	if err != nil {
		s.oauth2.WriteAuthorizeError(r.Context(), w, ar, err)
		return
	}
	// drop-in
	for _, scope := range ar.GetRequestedScopes() { // a real server asks the user
		ar.GrantScope(scope)
	}
	response, err := s.oauth2.NewAuthorizeResponse(r.Context(), ar, openid.NewDefaultSession())
	if err != nil {
		s.oauth2.WriteAuthorizeError(r.Context(), w, ar, err)
		return
	}
	s.oauth2.WriteAuthorizeResponse(r.Context(), w, ar, response)
}

// loginForm returns the user if the form was filled in correctly; otherwise it has shown the form.
func (s *server) loginForm(w http.ResponseWriter, r *http.Request) (user string, ok bool) {
	if err := http.NewCrossOriginProtection().Check(r); r.Method == http.MethodPost && err == nil {
		user = r.PostFormValue("user")
		if _, err := s.store.Authenticate(r.Context(), user, r.PostFormValue("password")); err == nil {
			return user, true
		}
	}
	w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
	_, _ = io.WriteString(w, `<form method="post"><input name="user"><input name="password" type="password">
		<button>Sign in</button></form>`)
	return "", false
}

func (s *server) token(w http.ResponseWriter, r *http.Request) {
	var response fosite.AccessResponder
	ar, err := s.oauth2.NewAccessRequest(r.Context(), r, openid.NewDefaultSession())
	if err == nil {
		response, err = s.oauth2.NewAccessResponse(r.Context(), ar)
	}
	if err != nil {
		s.oauth2.WriteAccessError(r.Context(), w, ar, err)
		return
	}
	s.oauth2.WriteAccessResponse(r.Context(), w, ar, response)
}

func (s *server) introspect(w http.ResponseWriter, r *http.Request) {
	response, err := s.oauth2.NewIntrospectionRequest(r.Context(), r, openid.NewDefaultSession())
	if err != nil {
		s.oauth2.WriteIntrospectionError(r.Context(), w, err)
		return
	}
	s.oauth2.WriteIntrospectionResponse(r.Context(), w, response)
}

// operator admits requests with the token from the environment.
func operator(r *http.Request, _ admin.Permission) (admin.Actor, error) {
	token, sent := os.Getenv("ADMIN_TOKEN"), []byte(r.Header.Get("Authorization"))
	if token == "" || subtle.ConstantTimeCompare(sent, []byte("Bearer "+token)) != 1 {
		return admin.Actor{}, admin.ErrUnauthenticated
	}
	return admin.Actor{Name: "operator"}, nil
}
