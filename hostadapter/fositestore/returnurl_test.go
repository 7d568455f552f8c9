package fositestore_test

// The return URL after a login page.

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	josev3 "github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// Hosts whose login form is a page of its own, or another provider's (/auth, /signin), and whose consent page
// is one (/consent).

// pages makes the host redirect users to separate pages. asksConsent makes it also ask for consent.
type pages struct {
	h           *host
	asksConsent bool

	mu   sync.Mutex
	kept map[string]fosite.AuthorizeRequester // the requests stored for callbacks
	urls map[string]string
}

func newPages(t *testing.T, options ...option) *pages {
	t.Helper()
	p := &pages{
		h: newHost(t, options...), kept: map[string]fosite.AuthorizeRequester{}, urls: map[string]string{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/auth", p.authorize)
	mux.HandleFunc("/prefix/auth", p.authorize)
	mux.Handle("/stripped/", http.StripPrefix("/stripped", http.HandlerFunc(p.authorize)))
	mux.HandleFunc("/signin", p.signIn)
	mux.HandleFunc("/consent", p.consent)
	mux.HandleFunc("/callback", p.callback)
	mux.Handle("/", p.h.server.Config.Handler)
	p.h.server.Config.Handler = p.h.sessions.Middleware(mux)
	return p
}

func (p *pages) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := p.h.provider.NewAuthorizeRequest(ctx, r)
	// A host with an upstream provider asks it, without a page, whether the user is signed in there.
	silent := errors.Is(err, fosite.ErrLoginRequired) && r.URL.Query().Get("upstream") != ""
	if err != nil && !silent {
		p.h.provider.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	session, err := p.h.sessions.Session(r)
	page := ""
	switch {
	case err != nil:
	case session == nil || p.h.sessions.NeedsSignIn(session, request):
		page = "/signin?back="
	case p.asksConsent:
		var needs bool
		if needs, err = p.h.sessions.NeedsConsent(ctx, session, request); needs {
			page = "/consent?client=" + request.GetClient().GetID() + "&scope=" +
				url.QueryEscape(request.GetRequestForm().Get("scope")) + "&back="
		}
	}
	var back string
	if err == nil && page != "" {
		back, err = p.h.sessions.ReturnURL(w, r, request)
	}
	if err != nil {
		p.h.provider.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	if page != "" {
		http.Redirect(w, r, page+url.QueryEscape(back), http.StatusSeeOther)
		return
	}
	p.grant(w, r, request)
}

func (p *pages) grant(w http.ResponseWriter, r *http.Request, request fosite.AuthorizeRequester) {
	ctx := r.Context()
	if r.URL.Query().Get("grant") != "nothing" {
		for _, scope := range request.GetRequestedScopes() {
			request.GrantScope(scope)
		}
	}
	response, err := p.h.provider.NewAuthorizeResponse(ctx, request, p.h.newSession(""))
	if err != nil {
		p.h.provider.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	p.h.provider.WriteAuthorizeResponse(ctx, w, request, response)
}

func (p *pages) signIn(w http.ResponseWriter, r *http.Request) {
	if user := r.FormValue("user"); user != "" {
		identity := hostadapter.Identity{Subject: user, ACR: "1"}
		if r.FormValue("whole") != "" { // the upstream provider's auth_time
			identity.AuthTime = time.Now().Truncate(time.Second)
		}
		if _, err := p.h.sessions.SignIn(w, r, identity); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	http.Redirect(w, r, r.FormValue("back"), http.StatusSeeOther)
}

func (p *pages) consent(w http.ResponseWriter, r *http.Request) {
	session, err := p.h.sessions.Session(r)
	if err == nil {
		scopes := strings.Fields(r.FormValue("scope"))
		err = p.h.sessions.Consents().Remember(r.Context(), session.SubjectID, r.FormValue("client"), scopes,
			0)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	http.Redirect(w, r, r.FormValue("back"), http.StatusSeeOther)
}

// callback is the redirect URI for the upstream provider: it gets the authorization request from the host's
// storage.
func (p *pages) callback(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	request, address := p.kept[r.FormValue("state")], p.urls[r.FormValue("state")]
	p.mu.Unlock()
	if _, err := p.h.sessions.SignIn(w, r, hostadapter.Identity{Subject: r.FormValue("user")}); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if request == nil {
		again, err := http.NewRequestWithContext(r.Context(), http.MethodGet, address, nil)
		if err == nil {
			request, err = p.h.provider.NewAuthorizeRequest(r.Context(), again)
		}
		if err != nil {
			p.h.provider.WriteAuthorizeError(r.Context(), w, request, err)
			return
		}
	}
	p.grant(w, r, request)
}

// at requests an address of the server, which may be relative.
func (b *browser) at(address string) *reply {
	b.h.t.Helper()
	return b.h.read(b.client.Get(b.h.server.URL + address))
}

// asked starts an authorization and returns the return URL.
func (b *browser) asked(path string, query url.Values) (back string) {
	b.h.t.Helper()
	r := b.get(path, query)
	page, err := url.Parse(r.header.Get("Location"))
	if err != nil || (page.Path != "/signin" && page.Path != "/consent") {
		b.h.t.Fatalf("want a page of the host, got %d to %q: %s", r.status, r.header.Get("Location"),
			r.body)
	}
	return page.Query().Get("back")
}

// signed signs in at the page and follows the return URL.
func (b *browser) signed(user, back string, extra ...string) *reply {
	b.h.t.Helper()
	form := url.Values{"user": {user}, "back": {back}}
	for i := 0; i+1 < len(extra); i += 2 {
		form.Set(extra[i], extra[i+1])
	}
	r := b.get("/signin", form)
	return b.at(r.header.Get("Location"))
}

func (r *reply) mustCode(t *testing.T, what string) string {
	t.Helper()
	code := r.redirect.Get("code")
	if code == "" {
		t.Fatalf("%s: want a code, got %d to %q %s", what, r.status, r.header.Get("Location"), r.body)
	}
	return code
}

func (r *reply) mustAsk(t *testing.T, what string) {
	t.Helper()
	if !strings.HasPrefix(r.header.Get("Location"), "/signin?") {
		t.Errorf("%s: %d to %q, want the login page", what, r.status, r.header.Get("Location"))
	}
}

// OpenID Connect Core 1.0, section 3.1.2.1: a request that requires a new sign-in is answered after it, on
// any page.
func TestReturnURLAfterALoginPage(t *testing.T) {
	t.Parallel()
	eachStorage(t, testReturnURLAfterALoginPage)
}

func testReturnURLAfterALoginPage(t *testing.T, composed option) {
	p := newPages(t, composed, func(h *host, _ *fositestore.Config) { registerRequestObjects(h.memory) })
	for name, query := range map[string]url.Values{
		"plain": authorization(), "prompt=login": authorization("prompt", "login"),
		"select_account": authorization("prompt", "select_account"),
		"max_age=0":      authorization("max_age", "0"),
		"max_age":        authorization("max_age", "1", "prompt", "login"),
		"acr_values":     authorization("acr_values", "2"),
		"all":            authorization("acr_values", "2", "max_age", "0", "prompt", "login"),
		"a pushed request": {"client_id": {"app"}, "request_uri": {
			p.h.post("/par", authorization("prompt", "login", "max_age", "0")).str("request_uri"),
		}},
		"a request object": {"client_id": {"objects"}, "response_type": {"code"}, "scope": {"openid"},
			"request": {
				assertionWith(t,
					map[string]any{
						"prompt": "login", "max_age": "0", "redirect_uri": redirectURI, "state": state,
						"nonce": nonce,
					}),
			}},
		"a long request": authorization("prompt", "login", "ui_locales", strings.Repeat("de ", 4000)),
	} {
		t.Run(name, func(t *testing.T) {
			b := p.h.browser()
			if name != "plain" && name != "a pushed request" { // that was pushed before
				b.signIn("ann")
			}
			back := b.asked("/auth", query)
			if len(back) > 2048 || !strings.HasPrefix(back, "/auth?") {
				t.Errorf("%d bytes %.100q, want an address of the server in 2 KiB", len(back), back)
			}
			if query.Get("prompt") == "login" {
				b.at(back).mustAsk(t, "without a sign-in")
			}
			r := b.signed("ann", back)
			code := r.mustCode(t, "signed in")
			client := query.Get("client_id")
			p.h.exchange(code, "as", client).must(t, http.StatusOK, "")
			if query.Get("prompt") == "login" {
				b.get("/auth", query).mustAsk(t, "the request without the mark")
			}
		})
	}
}

// registerRequestObjects adds a client that signs its requests.
func registerRequestObjects(memory *storage.MemoryStore) {
	key := josev3.JSONWebKey{Key: &clientKey().PublicKey, KeyID: "k", Use: "sig", Algorithm: "ES256"}
	memory.Clients["objects"] = &fosite.DefaultOpenIDConnectClient{
		DefaultClient: &fosite.DefaultClient{
			ID: "objects", Secret: hashed(), RedirectURIs: []string{redirectURI}, GrantTypes: grantTypes,
			ResponseTypes: []string{"code"},
			Scopes:        []string{"openid", "photos"},
		},
		TokenEndpointAuthMethod: "client_secret_basic", RequestObjectSigningAlgorithm: "ES256",
		JSONWebKeys: &josev3.JSONWebKeySet{Keys: []josev3.JSONWebKey{key}},
	}
}

// A request by POST returns as a GET.
func TestReturnURLOfAPostedRequest(t *testing.T) {
	t.Parallel()
	p := newPages(t)
	b := p.h.browser().signIn("ann")
	query := authorization("prompt", "login", "login_hint", "ann & a;b 100% ü")
	r := p.h.read(b.client.PostForm(p.h.server.URL+"/auth?display=page", query))
	page, _ := url.Parse(r.header.Get("Location"))
	back := page.Query().Get("back")
	again, err := url.Parse(back)
	if err != nil || again.Query().Get("login_hint") != query.Get("login_hint") ||
		again.Query().Get("display") != "page" {
		t.Errorf("back to %q, %v; want the request unchanged", back, err)
	}
	b.signed("ann", back).mustCode(t, "signed in")
}

// The query of a GET is returned byte for byte, even if it cannot be parsed, with the path as seen by the
// browser.
func TestReturnURLKeepsTheRequest(t *testing.T) {
	t.Parallel()
	p := newPages(t)
	raw := authorization("prompt", "login").Encode() + "&x=a+b%20c&y=%C3%BC&empty&z="
	for _, path := range []string{"/auth", "/prefix/auth", "/stripped/auth"} {
		b := p.h.browser()
		page, _ := url.Parse(b.at(path + "?" + raw).header.Get("Location"))
		back := page.Query().Get("back")
		if !strings.HasPrefix(back, path+"?"+raw+"&") {
			t.Errorf("%s: back to %q, want the request and a mark", path, back)
		}
		b.signed("ann", back).mustCode(t, path)
	}
}

// A request stored for its return, or pushed by a public client, comes from an unauthenticated sender, so its
// length is bounded.
func TestLongRequestsOfUnauthenticatedSenders(t *testing.T) {
	t.Parallel()
	p := newPages(t, func(h *host, _ *fositestore.Config) {
		h.memory.Clients["public"] = &fosite.DefaultClient{
			ID: "public", Public: true, RedirectURIs: []string{redirectURI},
			ResponseTypes: []string{"code"}, Scopes: []string{"openid", "offline_access"},
		}
	})
	long := func(length int) url.Values { return authorization("x", strings.Repeat("x", length)) }
	b := p.h.browser()
	b.signed("ann", b.asked("/auth", long(15<<10))).mustCode(t, "a request of 15 KiB")
	writes := p.h.backend.writes.Load()
	if r := p.h.browser().get("/auth", long(16<<10)); r.redirect.Get("error") != "invalid_request" {
		t.Errorf("a request of more than 16 KiB: %d to %.200q, want invalid_request", r.status,
			r.header.Get("Location"))
	}
	push := func(request url.Values) *reply {
		request.Set("client_id", "public")
		return p.h.read(http.PostForm(p.h.server.URL+"/par", request))
	}
	push(long(16<<10)).must(t, http.StatusBadRequest, "invalid_request")
	if got := p.h.backend.writes.Load(); got != writes {
		t.Errorf("refused requests made %d writes", got-writes)
	}
	push(long(15<<10)).must(t, http.StatusCreated, "")
	p.h.post("/par", long(64<<10)).must(t, http.StatusCreated, "")
}

// A mark is valid only for its browser and request, for ten minutes.
func TestReturnURLOfOthers(t *testing.T) {
	t.Parallel()
	clock := &movedClock{}
	p := newPages(t, func(_ *host, c *fositestore.Config) { c.Host.Now = clock.now })
	query := authorization("prompt", "login")
	ann, eve := p.h.browser(), p.h.browser()
	back := ann.asked("/auth", query)
	eve.asked("/auth", query) // has a browser cookie of its own
	eve.signIn("eve")
	eve.at(back).mustAsk(t, "another browser")
	stranger := p.h.browser().signIn("bob")
	stranger.at(back).mustAsk(t, "a browser without a request")

	mark := func(address string) string {
		u, _ := url.Parse(address)
		return u.Query().Get("sessions_asked")
	}
	ann.signIn("ann")
	other := authorization("prompt", "login", "client_id", "other")
	other.Set("sessions_asked", mark(back))
	ann.get("/auth", other).mustAsk(t, "another client's request")
	forged := authorization("prompt", "login")
	forged.Set("sessions_asked", "x"+mark(back)[1:])
	ann.get("/auth", forged).mustAsk(t, "a forged mark")

	ann.at(back).mustCode(t, "her own")
	clock.advance(9 * time.Minute)
	ann.at(back).mustCode(t, "within ten minutes")
	clock.advance(2 * time.Minute)
	ann.at(back).mustAsk(t, "after ten minutes")
}

// A sign-in before the request does not satisfy it, even with a mark.
func TestReturnURLWithoutANewSignIn(t *testing.T) {
	t.Parallel()
	p := newPages(t)
	for _, asks := range [][]string{{"prompt", "login"}, {"max_age", "0"}, {"acr_values", "2"}} {
		b := p.h.browser().signIn("ann")
		back := b.asked("/auth", authorization(asks...))
		for range 3 {
			b.at(back).mustAsk(t, asks[0])
		}
		b.signed("ann", back, "whole", "1").mustCode(t, asks[0]+" with an auth_time in whole seconds")
	}
}

// SignIn in a callback without the authorization request, which continues from there: prompt=none is judged
// by the current session.
func TestSignInInACallback(t *testing.T) {
	t.Parallel()
	p := newPages(t)
	for _, prompt := range []string{"", "login", "none", "consent"} {
		query := authorization("prompt", prompt)
		if prompt == "" {
			query.Del("prompt")
		}
		if prompt != "login" { // that one has been asked for after the sign-in
			p.urls["again"] = p.h.server.URL + "/auth?" + query.Encode()
			b := p.h.browser()
			code := b.get("/callback", url.Values{"state": {"again"}, "user": {"ann"}}).mustCode(t,
				prompt+", a request made again")
			p.h.exchange(code).must(t, http.StatusOK, "")
		}
		kept := fosite.NewAuthorizeRequest()
		first, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			p.h.server.URL+"/auth?"+query.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		// prompt=none without a session leads to login_required, which this host lets the upstream provider
		// decide.
		request, err := p.h.provider.NewAuthorizeRequest(t.Context(), first)
		if err != nil && prompt != "none" {
			t.Fatal(err)
		}
		if concrete, ok := request.(*fosite.AuthorizeRequest); ok {
			*kept = *concrete
		}
		kept.RequestedAt = kept.RequestedAt.Add(-time.Minute)
		p.kept["kept"] = kept
		b := p.h.browser()
		code := b.get("/callback", url.Values{"state": {"kept"}, "user": {"ann"}}).mustCode(t,
			prompt+", a request that was kept")
		p.h.exchange(code).must(t, http.StatusOK, "")
	}
	// Returning with a mark.
	b := p.h.browser()
	back := b.asked("/auth", authorization("prompt", "none", "max_age", "0", "upstream", "1"))
	b.signed("ann", back).mustCode(t, "prompt=none after a sign-in")
}

// The second request, after the consent page, gets the agreed scopes.
func TestReturnURLAfterAConsentPage(t *testing.T) {
	t.Parallel()
	p := newPages(t)
	p.asksConsent = true
	b := p.h.browser()
	for _, prompt := range []string{"consent", "login consent", "consent"} {
		back := b.asked("/auth", authorization("prompt", prompt))
		r := b.signed("ann", back)
		consent := r.header.Get("Location")
		if !strings.HasPrefix(consent, "/consent?") {
			t.Fatalf("%s: %d to %q, want the consent page", prompt, r.status, consent)
		}
		page, _ := url.Parse(consent)
		if r := b.at(page.Query().Get("back")); !strings.HasPrefix(r.header.Get("Location"), "/consent?") {
			t.Errorf("%s: without a yes: %d to %q, want the consent page", prompt, r.status,
				r.header.Get("Location"))
		}
		tokens := p.h.exchange(b.at(b.at(consent).header.Get("Location")).mustCode(t, prompt))
		if tokens.str("scope") != "openid offline_access" {
			t.Errorf("%s: %v, want the scopes that were agreed to", prompt, tokens.json)
		}
	}
	b.get("/auth", authorization()).mustCode(t, "a consent that is remembered")
	back := b.asked("/auth", authorization("scope", "openid photos"))
	if !strings.Contains(back, "/auth?") {
		t.Errorf("back to %q", back)
	}
	// A host that does not store consents.
	p.asksConsent = false
	if r := b.at(back + "&grant=nothing"); r.redirect.Get("error") != "consent_required" {
		t.Errorf("%d %v, want consent_required and no token without scopes", r.status, r.redirect)
	}
}
