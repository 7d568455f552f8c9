package integration

// The routes on the routers that hosts use.

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/account"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
)

// routers mount the handlers below a prefix.
var routers = map[string]func(sm *hostadapter.Adapter, prefix string, login, admin,
	account http.Handler) http.Handler{
	"net/http": func(sm *hostadapter.Adapter, prefix string, login, admin,
		account http.Handler) http.Handler {
		router := http.NewServeMux()
		router.Handle(prefix+"/login", login)
		router.Handle(prefix+"/logout", sm.EndSession())
		router.Handle(prefix+"/admin/", http.StripPrefix(prefix+"/admin", admin))
		router.Handle(prefix+"/admin", http.StripPrefix(prefix+"/admin", admin))
		router.Handle(prefix+"/account", account)
		router.Handle(prefix+"/account/", account)
		return sm.Middleware(router)
	},
	"net/http, stripped as a whole": func(
		sm *hostadapter.Adapter, prefix string, login, admin, account http.Handler,
	) http.Handler {
		router := http.NewServeMux()
		router.Handle("/login", login)
		router.Handle("/logout", sm.EndSession())
		for _, path := range []string{"", "/"} { // the mux's own redirect omits the prefix
			router.Handle("/admin"+path, http.StripPrefix("/admin", admin))
			router.Handle("/account"+path, http.StripPrefix("/account", account))
		}
		return http.StripPrefix(prefix, sm.Middleware(router))
	},
	"gorilla/mux": func(sm *hostadapter.Adapter, prefix string, login, _, account http.Handler) http.Handler {
		router := mux.NewRouter()
		router.Use(sm.Middleware)
		below := router
		if prefix != "" {
			below = router.PathPrefix(prefix).Subrouter()
		}
		below.Handle("/login", login)
		below.Handle("/logout", sm.EndSession())
		admin.Mount(below.PathPrefix("/admin").Subrouter(), sm, letIn)
		below.PathPrefix("/account").Handler(account)
		return router
	},
	"chi": func(sm *hostadapter.Adapter, prefix string, login, admin, account http.Handler) http.Handler {
		router := chi.NewRouter()
		router.Use(sm.Middleware)
		mount := func(router chi.Router) {
			router.Handle("/login", login)
			router.Handle("/logout", sm.EndSession())
			router.Mount("/admin", http.StripPrefix(prefix+"/admin", admin))
			router.Mount("/account", account)
		}
		if prefix == "" {
			mount(router)
		} else {
			router.Route(prefix, mount)
		}
		return router
	},
}

func letIn(*http.Request, admin.Permission) (admin.Actor, error) {
	return admin.Actor{Name: "operator"}, nil
}

// Every handler works on every router, at the root, below a prefix, and behind a proxy that strips one.
func TestRouters(t *testing.T) {
	t.Parallel()
	for name, router := range routers {
		for where, prefixes := range map[string][2]string{
			"at the root": {"", ""}, "below a prefix": {"/tenants/a:b", ""},
			"behind a proxy that strips a prefix": {"", "/edge"}, "both": {"/v1", "/edge/eu"},
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				t.Parallel()
				visitRouter(t, router, prefixes[0], prefixes[1])
			})
		}
	}
}

type signsClaims struct{}

func (signsClaims) Sign(_ context.Context, claims []byte) (string, error) { return string(claims), nil }

func visitRouter(
	t *testing.T,
	router func(sm *hostadapter.Adapter, prefix string, login, admin, account http.Handler) http.Handler,
	prefix, edge string,
) {
	t.Helper()
	logger, noSync := slog.New(slog.DiscardHandler), false
	engine, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir(), Sync: &noSync}, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	sm, err := hostadapter.New(t.Context(), hostadapter.Config{
		Backend: engine, Issuer: "http://localhost" + edge + prefix,
		Keys:   [][]byte{bytes.Repeat([]byte("k"), 32)},
		Signer: signsClaims{}, Clients: logout.ClientMap{}, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sm.Close() })
	login := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := sm.SignIn(w, r, hostadapter.Identity{Subject: "ann"}); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	handler := router(sm, prefix, login,
		admin.Handler(admin.Config{Operations: sm.Operations(), Authorize: letIn}),
		account.Handler(account.Config{Sessions: sm}))
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	base := server.URL
	if edge != "" {
		target, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
		outside := httptest.NewServer(http.StripPrefix(edge, proxy))
		t.Cleanup(outside.Close)
		base = outside.URL + edge
	}
	v := &visitor{t: t, base: base + prefix, client: newVisitor(t)}

	v.want("/login", http.StatusOK, "")
	for _, page := range []string{"/admin", "/admin/", "/admin/ui", "/admin/ui/"} {
		v.want(page, http.StatusOK, "ann")
	}
	list := v.want("/admin/sessions", http.StatusOK, `"subject_id":"ann"`)
	sid := regexp.MustCompile(`"session_id":"([^"]+)"`).FindStringSubmatch(list.body)[1]
	v.want("/admin/sessions/"+sid, http.StatusOK, sid)
	v.want("/admin/sessions/a%2Fb", http.StatusNotFound, `"status":404`)
	v.want("/admin/nothing", http.StatusNotFound, `"status":404`)
	shown := v.want("/admin/ui/", http.StatusOK, "ann")
	style := regexp.MustCompile(`href="([^"]+\.css[^"]*)"`).FindStringSubmatch(shown.body)
	v.at(shown.at.ResolveReference(v.parse(style[1])), nil).must(t, http.StatusOK, "{")

	// The user's page, also by its address without a slash; each form returns to it.
	other := &visitor{t: t, base: v.base, client: newVisitor(t)}
	other.want("/login", http.StatusOK, "")
	for _, path := range []string{"/account", "/account/"} {
		shown = v.want(path, http.StatusOK, "this device")
		token := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(shown.body)[1]
		back := v.at(shown.at.ResolveReference(v.parse("end-others")), url.Values{"token": {token}})
		back.must(t, http.StatusOK, "this device")
		other.want("/account/", http.StatusUnauthorized, "not signed in")
		other.want("/login", http.StatusOK, "")
	}

	// Signing out: the confirmation, and its form at the same address. A POST without a cookie is redirected
	// to it.
	asked := v.want("/logout?ui_locales=de", http.StatusOK, "Sign out?")
	confirm := regexp.MustCompile(`name="confirm" value="([^"]+)"`).FindStringSubmatch(asked.body)[1]
	stranger := &visitor{t: t, base: v.base, client: newVisitor(t)}
	stranger.at(v.parse(v.base+"/logout"), url.Values{"ui_locales": {"de"}}).must(t, http.StatusOK,
		"signed out")
	v.at(asked.at, url.Values{"confirm": {confirm}}).must(t, http.StatusOK, "You are signed out.")
	v.want("/account/", http.StatusUnauthorized, "not signed in")

	// An operator ends the remaining sessions on the page.
	remove := v.want("/admin/ui/remove?subject_id=ann", http.StatusOK, "End all of this subject?")
	ended := v.at(remove.at.ResolveReference(v.parse("remove")), url.Values{
		"subject_id": {"ann"}, "do": {"remove"}, "remove_server_side_session": {"true"},
		"revoke_tokens": {"true"},
	})
	ended.must(t, http.StatusOK, "Done")
	other.want("/account/", http.StatusUnauthorized, "not signed in")
}

// visitor is a browser that follows redirects.
type visitor struct {
	t      *testing.T
	base   string
	client *http.Client
}

func newVisitor(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// visited is a page and its address after redirects.
type visited struct {
	at     *url.URL
	status int
	body   string
}

func (v *visitor) parse(address string) *url.URL {
	v.t.Helper()
	parsed, err := url.Parse(strings.ReplaceAll(address, "&amp;", "&"))
	if err != nil {
		v.t.Fatal(err)
	}
	return parsed
}

// at visits an address, or posts a form to it.
func (v *visitor) at(address *url.URL, form url.Values) *visited {
	v.t.Helper()
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(v.t.Context(), method, address.String(), body)
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return &visited{at: response.Request.URL, status: response.StatusCode, body: string(read)}
}

func (v *visitor) want(path string, status int, text string) *visited {
	v.t.Helper()
	page := v.at(v.parse(v.base+path), nil)
	page.must(v.t, status, text)
	return page
}

func (p *visited) must(t *testing.T, status int, text string) {
	t.Helper()
	if p.status != status || !strings.Contains(p.body, text) {
		t.Fatalf("%s: %d, want %d with %q:\n%.1500s", p.at, p.status, status, text, p.body)
	}
}
