package hostadapter_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Forms of a sign-out request: none loses parameters, or leaves the user on a page without a next step.

const byeShop = "https://shop.example/bye"

// mostHeaders is nginx's default limit for response headers (proxy_buffer_size): beyond it, it answers 502.
const mostHeaders = 4 << 10

// mustFit fails the test if the headers of a response exceed mostHeaders.
func mustFit(t *testing.T, what string, response *http.Response) {
	t.Helper()
	head, err := httputil.DumpResponse(response, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(head) > mostHeaders {
		t.Errorf("%s: headers of %d bytes, want %d at most:\n%.200s…", what, len(head), mostHeaders, head)
	}
}

// raw calls the end-session endpoint with an unencoded query.
func (b *browser) raw(method, parameters string) *http.Response {
	b.h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/logout", strings.NewReader(parameters))
	if method == http.MethodGet {
		r = httptest.NewRequest(http.MethodGet, "/logout", nil)
		r.URL.RawQuery = parameters
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(r, b.h.EndSession())
}

// RP-Initiated Logout 1.0, section 2: the state is returned as it was sent, however it is escaped.
func TestStateOfASignOutIsKept(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		"a;b": "a;b", ";": ";", "100%": "100%", "a%zz": "a%zz", "%": "%", "a%2": "a%2",
		"a+b%20c%2B": "a b c+", "a;b%3Bc%ff": "a;b;c\xff", "=a=b": "=a=b",
		"%C3%BC%": "ü%", "": "",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			h := newEndSessionHost(t)
			b := h.browser()
			session := b.signIn(hostadapter.Identity{Subject: "ann"})
			response := b.raw(method,
				"id_token_hint="+url.QueryEscape("ann/"+session.SessionID+"/shop")+"&state="+sent+
					"&post_logout_redirect_uri="+url.QueryEscape(byeShop))
			location, err := url.Parse(response.Header.Get("Location"))
			if err != nil || response.StatusCode != http.StatusSeeOther ||
				location.Query().Get("state") != want {
				t.Errorf("%s %q: %d to %q, want the state back", method, sent, response.StatusCode,
					response.Header.Get("Location"))
			}
			b.mustBe("")
		}
	}
}

// A state too long for a Location is put into the page.
func TestSignOutWithALongState(t *testing.T) {
	t.Parallel()
	state := strings.Repeat("x&", 6000)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		h := newEndSessionHost(t)
		b := h.browser()
		session := b.signIn(hostadapter.Identity{Subject: "ann"})
		response := b.raw(method, url.Values{
			"id_token_hint": {"ann/" + session.SessionID + "/shop"}, "state": {state},
			"post_logout_redirect_uri": {byeShop},
		}.Encode())
		mustFit(t, method, response)
		body := bodyOf(t, response)
		if want := `href="` + byeShop + "?state=" + url.QueryEscape(state) + `"`; !strings.Contains(body,
			want) ||
			!strings.Contains(body, "<script>"+hostadapter.LogoutScript) ||
			!strings.Contains(response.Header.Get("Content-Security-Policy"), "script-src") {
			t.Errorf("%s: %d %.2000s, want a page that continues to the client", method, response.StatusCode,
				body)
		}
		b.mustBe("")
	}
}

// A cross-site POST without its cookie is redirected to a GET, or to a form if its parameters are too long
// for a Location.
func TestLongSignOutFromAnotherSite(t *testing.T) {
	t.Parallel()
	for name, long := range map[string]url.Values{
		"state":       {"state": {strings.Repeat("%;", 7000)}},
		"logout_hint": {"logout_hint": {strings.Repeat("<", 15_000)}},
		"ui_locales":  {"ui_locales": {strings.Repeat(strings.Repeat("d", 900)+" ", 16)}},
		"both":        {"state": {strings.Repeat("ü", 4000)}, "logout_hint": {strings.Repeat("h", 15_000)}},
	} {
		h := newEndSessionHost(t)
		b, strict := h.browser(), h.browser()
		session := b.signIn(hostadapter.Identity{Subject: "ann"})
		h.use(session.SessionID, "shop")
		long.Set("id_token_hint", "ann/"+session.SessionID+"/shop")
		long.Set("post_logout_redirect_uri", byeShop)
		first := strict.raw(http.MethodPost, long.Encode())
		mustFit(t, name, first)
		form := confirmation.FindStringSubmatch(bodyOf(t, first))
		if form == nil {
			if location := first.Header.Get("Location"); name != "ui_locales" ||
				!strings.HasPrefix(location, "?resume=") {
				t.Errorf("%s: %d to %q, want a form", name, first.StatusCode, location)
			}
			continue
		}
		b.mustBe("ann")
		response := b.raw(http.MethodPost, url.Values{"confirm": {form[1]}}.Encode())
		mustFit(t, name, response)
		if long.Has("logout_hint") { // of another user: the user is asked
			again := confirmation.FindStringSubmatch(bodyOf(t, response))
			if again == nil {
				t.Fatalf("%s: %d, want the question", name, response.StatusCode)
			}
			response = b.raw(http.MethodPost, url.Values{"confirm": {again[1]}}.Encode())
			mustFit(t, name, response)
		}
		if session, _ := b.session(); session != nil || response.StatusCode >= 400 {
			t.Errorf("%s: %d, signed in as %+v; want to be signed out", name, response.StatusCode, session)
		}
		// A browser that keeps the cookie from this, too: the session is found by the hint.
		again := b.signIn(hostadapter.Identity{Subject: "ann"})
		long.Set("id_token_hint", "ann/"+again.SessionID+"/shop")
		form = confirmation.FindStringSubmatch(bodyOf(t, strict.raw(http.MethodPost, long.Encode())))
		strict.raw(http.MethodPost, url.Values{"confirm": {form[1]}}.Encode())
		b.mustBe("")
	}
}

// A session with the maximum number of front-channel clients can be signed out in a browser behind a proxy
// with nginx's default buffers.
func TestFrontChannelLogoutOfAsManyClientsAsASessionMayHave(t *testing.T) {
	t.Parallel()
	clients := logout.ClientMap{"asks": {PostLogoutRedirectURIs: []string{byeShop}}}
	for i := range ticketstore.MaxClients {
		clients[fmt.Sprintf("client-%d", i)] = logout.Client{
			FrontChannelLogoutURI: fmt.Sprintf(
				"https://a-client-with-a-long-name-%d.applications.example:8443/clear", i,
			),
			PostLogoutRedirectURIs: []string{byeShop},
		}
	}
	h := newHost(t, func(c *hostadapter.Config) { c.Hints, c.Clients = hints{}, clients })
	for _, count := range []int{1, 10, 80, ticketstore.MaxClients} {
		b := h.browser()
		session := b.signIn(hostadapter.Identity{Subject: "ann"})
		for i := range count {
			h.use(session.SessionID, fmt.Sprintf("client-%d", i))
		}
		response := b.get(url.Values{
			"id_token_hint":            {"ann/" + session.SessionID + "/client-0"},
			"post_logout_redirect_uri": {byeShop}, "state": {strings.Repeat("s", 1500)},
		})
		mustFit(t, fmt.Sprint(count), response)
		body, policy := bodyOf(t, response), response.Header.Get("Content-Security-Policy")
		if got := strings.Count(body, "<iframe "); got != count || !strings.Contains(body, `id="continue"`) {
			t.Errorf("%d frames and a way on %v, want %d", got, strings.Contains(body, `id="continue"`),
				count)
		}
		if want := "frame-src https://a-client"; count <= 10 && !strings.Contains(policy, want) {
			t.Errorf("policy %q, want the origins", policy)
		}
		if count >= 80 && !strings.HasSuffix(strings.Split(policy, "; style-src")[0], "; frame-src https:") {
			t.Errorf("policy %q, want https frames alone", policy)
		}
		b.mustBe("")
	}
}

// deadlineClients fails a look-up whose context has no deadline.
type deadlineClients struct{ logout.ClientMap }

func (d deadlineClients) LogoutClient(ctx context.Context, id string) (*logout.Client, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		return nil, errors.New("a look-up without a deadline")
	}
	return d.ClientMap.LogoutClient(ctx, id)
}

// A client source that does not answer costs frames, not the sign-out.
func TestFrontChannelLookupsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) {
		c.Clients = deadlineClients{logout.ClientMap{
			"shop": {FrontChannelLogoutURI: "https://shop.example/clear"},
		}}
	})
	session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	h.use(session.SessionID, "shop")
	if urls, err := h.FrontChannelURLs(t.Context(), session.SessionID); err != nil || len(urls) != 1 {
		t.Errorf("frames %v, error %v, want one", urls, err)
	}
}

// Section 4: an invalid request must not leave the user signed in without a next step.
func TestInvalidSignOut(t *testing.T) {
	t.Parallel()
	for name, parameters := range map[string]url.Values{
		"unregistered URI": {
			"client_id": {"shop"}, "post_logout_redirect_uri": {"https://evil.example/"},
		},
		"unregistered URI, own hint": {
			"id_token_hint": {"ann/SID/shop"}, "post_logout_redirect_uri": {"https://evil.example/"},
		},
		"deleted client": {"client_id": {"gone"}, "post_logout_redirect_uri": {byeShop}},
		"deleted client, own hint": {
			"id_token_hint": {"ann/SID/gone"}, "post_logout_redirect_uri": {byeShop},
		},
		"no client":           {"post_logout_redirect_uri": {byeShop}},
		"no ID token of ours": {"id_token_hint": {"forged"}, "post_logout_redirect_uri": {byeShop}},
		"another client's token": {
			"id_token_hint": {"ann/SID/shop"}, "client_id": {"mail"}, "post_logout_redirect_uri": {byeShop},
		},
		"another user's token":     {"id_token_hint": {"bob/x/shop"}},
		"two audiences":            {"id_token_hint": {"ann/SID/shop,mail"}},
		"a parameter twice":        {"state": {"1", "2"}},
		"a parameter that is long": {"state": {strings.Repeat("x", 20_000)}},
		"a way on that is none":    {"resume": {"AAAA"}},
		"a way on that is empty":   {"resume": {""}},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			h := newEndSessionHost(t)
			b := h.browser()
			session := b.signIn(hostadapter.Identity{Subject: "ann"})
			response := b.raw(method, strings.ReplaceAll(parameters.Encode(), "SID", session.SessionID))
			body := bodyOf(t, response)
			mustFit(t, name, response)
			if response.Header.Get("Location") != "" {
				t.Errorf("%s by %s: sent to %q, want to be sent nowhere", name, method,
					response.Header.Get("Location"))
			}
			if found := confirmation.FindStringSubmatch(body); found != nil {
				b.mustBe("ann")
				answer := b.raw(http.MethodPost, url.Values{"confirm": {found[1]}}.Encode())
				if location := answer.Header.Get("Location"); location != "" && location != byeShop {
					t.Errorf("%s by %s: then sent to %q", name, method, location)
				}
			}
			b.mustBe("")
			// Nobody is signed in: a page, without a form.
			if response := b.raw(method, parameters.Encode()); method == http.MethodGet &&
				confirmation.MatchString(bodyOf(t, response)) {
				t.Errorf("%s: the user is not asked whether to sign out", name)
			}
		}
	}
}

// A form or URL that has expired, or was overtaken by a step-up, asks the user again and keeps the request.
func TestStaleSignOut(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) {
		c.Hints, c.Clients = hints{}, logout.ClientMap{"shop": {PostLogoutRedirectURIs: []string{byeShop}}}
		c.Lifetime.IdleTimeout = 100 * time.Hour
	})
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	ask := url.Values{"client_id": {"shop"}, "post_logout_redirect_uri": {byeShop}, "state": {"s"}}
	question := func(response *http.Response) string {
		t.Helper()
		found := confirmation.FindStringSubmatch(bodyOf(t, response))
		if found == nil {
			t.Fatalf("%d to %q, want the question", response.StatusCode, response.Header.Get("Location"))
		}
		b.mustBe("ann")
		return found[1]
	}
	form := question(b.get(ask))
	h.clock.advance(30 * time.Hour)
	form = question(b.post(url.Values{"confirm": {form}}))
	b.signIn(hostadapter.Identity{Subject: "ann", ACR: "2"}) // a step-up
	form = question(b.post(url.Values{"confirm": {form}}))

	session := b.mustBe("ann")
	cookies := b.cookies
	b.cookies = map[string]string{}
	on, err := url.Parse(b.post(url.Values{
		"id_token_hint": {"ann/" + session.SessionID + "/shop"}, "post_logout_redirect_uri": {byeShop},
		"state": {"s"},
	}).Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	b.cookies = cookies
	h.clock.advance(30 * time.Hour)
	question(b.get(on.Query()))

	form = question(b.post(url.Values{"confirm": {form}}))
	if got := b.post(url.Values{"confirm": {form}}).Header.Get("Location"); got != byeShop+"?state=s" {
		t.Errorf("sent to %q, want the client's address", got)
	}
	b.mustBe("")
}

// OpenID Connect Core 1.0, section 2: an ID token may have several audiences. The client that uses the
// session counts.
func TestSignOutByAHintForSeveralClients(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		hint string
		used []string
		goes bool // signed out unasked
	}{
		"one uses the session":      {"ann/SID/mail,shop", []string{"shop", "unknown"}, true},
		"none does":                 {"ann/SID/mail,shop", []string{"frame"}, false},
		"both do":                   {"ann/SID/mail,shop", []string{"shop", "mail"}, false},
		"one does, of another user": {"bob/SID/mail,shop", []string{"shop"}, false},
		"one does, without a sid":   {"ann//mail,shop", []string{"shop"}, false},
		"one does, another session": {"ann/OTHER/mail,shop", []string{"shop"}, false},
		"a sid that cannot be one": {
			"ann/" + strings.Repeat("x", 600) + "/mail,shop", []string{"shop"}, false,
		},
		"an API and one that uses": {"ann/SID/https:%2F%2Fapi.example,shop", []string{"shop"}, true},
		"more than are looked up by": {
			"ann/SID/" + strings.Repeat("x,", 500) + "shop", []string{"shop"}, true,
		},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			h := newEndSessionHost(t)
			b := h.browser()
			session, other := b.signIn(hostadapter.Identity{Subject: "ann"}),
				h.browser().signIn(hostadapter.Identity{Subject: "ann"})
			for _, client := range test.used {
				h.use(session.SessionID, client)
			}
			h.use(other.SessionID, "mail")
			hint := strings.NewReplacer("SID", session.SessionID, "OTHER", other.SessionID).Replace(test.hint)
			response := b.raw(method,
				url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {byeShop}}.Encode())
			if test.goes {
				if response.Header.Get("Location") != byeShop {
					t.Errorf("%s by %s: %d to %q, want the client's address", name, method,
						response.StatusCode, response.Header.Get("Location"))
				}
				b.mustBe("")
				continue
			}
			if response.StatusCode != http.StatusOK || !confirmation.MatchString(bodyOf(t, response)) {
				t.Errorf("%s by %s: %d, want the question", name, method, response.StatusCode)
			}
			b.mustBe("ann")
		}
	}
}
