package fositestore_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// The requirements of OpenID Connect Back-Channel Logout 1.0 (with errata set 1) for a server, in our words,
// and their tests, which begin with TestBackChannelLogout_ and the section. Package logout tests the handling
// of answers in more detail.
//
//	2.1  support for it, and for sid, is in the metadata                2_1_Metadata
//	2.2  the URI is absolute and has no fragment                        2_2_URI
//	2.2  its own query is kept                                          2_5_Request
//	2.2  a client that requires a sid has it                            2_4_Claims
//	2.3  the clients to notify are those that used this session         2_3_LoggedInClients
//	2.4  iss, aud, iat, exp, jti, events; sub or sid; no nonce          2_4_Claims
//	2.4  the event is a JSON object, an empty one                       2_4_Claims
//	2.4  signed, with the key of the ID tokens; never alg none          2_4_SignedAsIDTokens
//	2.4  typed logout+jwt, good for two minutes at most (recommended)   2_4_SignedAsIDTokens, 2_4_Claims
//	2.4  sid is that of the ID tokens of the session                    2_4_Claims
//	2.5  a POST with a form that has the logout token                   2_5_Request
//	2.7  refresh tokens end with the session, offline ones do not       2_7_RefreshTokens
//	2.8  200 means done, 204 is taken for it, 400 means failed          2_8_Answers
//	4    a logout token does not pass for an ID token                   4_NotAnIDToken
//
// Section 2.6, and what 2.7 and 2.8 ask besides, is the client's part; the demo clients of the example server
// do all of it.

// party is a client's server. It records its requests.
type party struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

func newParty(t *testing.T, status int) *party {
	t.Helper()
	p := &party{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		p.mu.Lock()
		p.requests = append(p.requests, r)
		p.mu.Unlock()
		w.WriteHeader(status)
		if status == http.StatusBadRequest {
			_, _ = io.WriteString(w, `{"error":"invalid_request"}`)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *party) received() []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// told waits for the first request and returns it.
func (p *party) told(t *testing.T) *http.Request {
	t.Helper()
	testenv.Eventually(t, "the client is notified", func() bool { return len(p.received()) > 0 })
	return p.received()[0]
}

// back returns a host whose clients have back-channel logout URIs at parties.
func back(clients logout.ClientMap) option {
	return func(_ *host, c *fositestore.Config) {
		c.Host.Clients = clients
		c.Host.Logout.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.KeyID = "key-1"
	}
}

func TestBackChannelLogout_2_1_Metadata(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	document, err := h.sessions.Metadata(issuer + "/end_session").MergeInto(map[string]any{
		"issuer": issuer, "claims_supported": []string{"sub"},
	})
	if err != nil || document["backchannel_logout_supported"] != true ||
		document["backchannel_logout_session_supported"] != true {
		t.Errorf("%v, %v; want both supported", document, err)
	}
	if diff := cmp.Diff([]any{"sub", "sid"}, document["claims_supported"]); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestBackChannelLogout_2_2_URI(t *testing.T) {
	t.Parallel()
	for uri, good := range map[string]bool{
		"https://app.example/out": true, "https://app.example:8443/out?a=b": true,
		"http://app.example/out": true,
		"/out":                   false, "//app.example/out": false, "https://app.example/out#": false,
		"https://app.example/out#x": false, "app:/out": false,
	} {
		if err := logout.ValidateClient(logout.Client{ClientID: "app", BackChannelLogoutURI: uri}); (err ==
			nil) != good {
			t.Errorf("%s: %v, want it accepted %v", uri, err, good)
		}
	}
}

func TestBackChannelLogout_2_3_LoggedInClients(t *testing.T) {
	t.Parallel()
	app, other := newParty(t, http.StatusOK), newParty(t, http.StatusOK)
	h := newHost(t,
		back(logout.ClientMap{
			"app": {BackChannelLogoutURI: app.URL}, "other": {BackChannelLogoutURI: other.URL},
		}))
	_, r := h.tokens("ann")
	elsewhere := h.browser().signIn("bob")
	h.exchange(elsewhere.code("client_id", "other"), "as", "other").must(t, http.StatusOK, "")
	h.end("ann")
	app.told(t)
	page, err := h.sessions.Operations().QueryNotifications(t.Context(), logout.NotificationQuery{})
	if err != nil || len(page.Notifications) != 1 || page.Notifications[0].ClientID != "app" {
		t.Errorf("notifications %+v, %v; want app's alone: %s", page, err, r.str("id_token"))
	}
	elsewhere.mustBe("bob")
}

func TestBackChannelLogout_2_4_Claims(t *testing.T) {
	t.Parallel()
	for _, sessionRequired := range []bool{false, true} {
		app := newParty(t, http.StatusOK)
		h := newHost(t,
			back(logout.ClientMap{"app": {BackChannelLogoutURI: app.URL, SessionRequired: sessionRequired}}))
		_, r := h.tokens("ann")
		idToken := claims(t, r.str("id_token"))
		begin := time.Now().Truncate(time.Second)
		h.end("ann")
		got := claims(t, app.told(t).PostForm.Get("logout_token"))
		want := map[string]any{
			"iss": issuer, "aud": "app", "sid": idToken["sid"],
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
			"jti":    got["jti"], "iat": got["iat"], "exp": got["exp"],
		}
		if !sessionRequired {
			want["sub"] = idToken["sub"]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("claims (-want +got), of which nonce must be none:\n%s", diff)
		}
		issued, _ := got["iat"].(float64)
		expires, _ := got["exp"].(float64)
		if at := time.Unix(int64(issued), 0); at.Before(begin) || time.Until(at) > time.Second {
			t.Errorf("iat %v, want the time of the attempt", at)
		}
		if expires <= issued || expires > issued+120 {
			t.Errorf("exp %v after iat, want at most two minutes", expires-issued)
		}
		if jti, ok := got["jti"].(string); !ok || len(jti) < 22 {
			t.Errorf("jti %v, want one of its own", got["jti"])
		}
	}
}

func TestBackChannelLogout_2_4_SignedAsIDTokens(t *testing.T) {
	t.Parallel()
	app := newParty(t, http.StatusOK)
	h := newHost(t, back(logout.ClientMap{"app": {BackChannelLogoutURI: app.URL}}))
	_, r := h.tokens("ann")
	h.end("ann")
	token := app.told(t).PostForm.Get("logout_token")
	for what, raw := range map[string]string{"ID token": r.str("id_token"), "logout token": token} {
		// what discovery says, not none
		signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if _, err := signed.Verify(signingKey().Public()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		header := signed.Signatures[0].Protected
		if what == "logout token" &&
			(header.ExtraHeaders[jose.HeaderType] != "logout+jwt" || header.KeyID != "key-1") {
			t.Errorf("%s: header %+v, want its type and the key's id", what, header)
		}
	}
}

func TestBackChannelLogout_2_5_Request(t *testing.T) {
	t.Parallel()
	app := newParty(t, http.StatusOK)
	h := newHost(t,
		back(logout.ClientMap{"app": {BackChannelLogoutURI: app.URL + "/out?logout=backchannel&a=%20"}}))
	h.tokens("ann")
	h.end("ann")
	r := app.told(t)
	if r.Method != http.MethodPost || r.URL.RequestURI() != "/out?logout=backchannel&a=%20" ||
		r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("%s %s with %v, want a form posted to the URI as it is", r.Method, r.URL.RequestURI(),
			r.Header)
	}
	if got := slices.Collect(maps.Keys(r.PostForm)); !slices.Equal(got, []string{"logout_token"}) ||
		len(r.PostForm["logout_token"]) != 1 {
		t.Errorf("form %v, want one logout token", got)
	}
}

func TestBackChannelLogout_2_7_RefreshTokens(t *testing.T) {
	t.Parallel()
	for reason, end := range map[string]func(h *host, b *browser){
		"sign-out":              func(_ *host, b *browser) { b.get("/logout", nil) },
		"another user signs in": func(_ *host, b *browser) { b.signIn("bob") },
	} {
		for scope, survives := range map[string]bool{"openid": false, "openid offline_access": true} {
			t.Run(reason+" with "+scope, func(t *testing.T) {
				t.Parallel()
				// all get one
				h := newHost(t, func(h *host, _ *fositestore.Config) {
					h.fosite.RefreshTokenScopes = []string{}
				})
				b, r := h.tokens("ann", "scope", scope)
				end(h, b)
				h.mustActive(r.str("access_token"), false)
				if got := h.refresh(r.str("refresh_token")); (got.status == http.StatusOK) != survives {
					t.Errorf("refresh: %d %s, want it to work %v", got.status, got.body, survives)
				}
			})
		}
	}
}

func TestBackChannelLogout_2_8_Answers(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]logout.State{
		http.StatusOK: logout.Delivered, http.StatusNoContent: logout.Delivered,
		http.StatusBadRequest:          logout.Refused,
		http.StatusInternalServerError: logout.Pending, http.StatusFound: logout.Pending,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			app := newParty(t, status)
			clock := &movedClock{}
			h := newHost(t, back(logout.ClientMap{"app": {BackChannelLogoutURI: app.URL}}),
				func(_ *host, c *fositestore.Config) {
					c.Host.Now = clock.now
				})
			h.tokens("ann")
			clock.advance(time.Minute) // a client that just got tokens is notified twice
			h.end("ann")
			var notification logout.Notification
			testenv.Eventually(t, "the answer is recorded", func() bool {
				page, err := h.sessions.Operations().QueryNotifications(t.Context(),
					logout.NotificationQuery{})
				if err != nil || len(page.Notifications) != 1 {
					return false
				}
				notification = page.Notifications[0]
				return !notification.LastAttempt.IsZero()
			})
			if notification.State != want || (notification.LastError == "") != (want == logout.Delivered) {
				t.Errorf("notification %+v, want it %s", notification, want)
			}
		})
	}
}

func TestBackChannelLogout_4_NotAnIDToken(t *testing.T) {
	t.Parallel()
	app := newParty(t, http.StatusOK)
	h := newHost(t,
		back(logout.ClientMap{"app": {BackChannelLogoutURI: app.URL, PostLogoutRedirectURIs: []string{bye}}}))
	h.tokens("ann")
	h.end("ann")
	token := app.told(t).PostForm.Get("logout_token")
	b := h.browser().signIn("ann")
	answer := b.endSession(http.MethodGet,
		url.Values{"id_token_hint": {token}, "post_logout_redirect_uri": {bye}})
	answer.must(t, http.StatusBadRequest, "")
	answer.mustNotRedirect(t)
	b.mustBe("ann")
}
