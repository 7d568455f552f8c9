package fositestore_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/logout"
)

// The requirements of OpenID Connect Front-Channel Logout 1.0 for a server, in our words, and their tests.
// The tests begin with TestFrontChannelLogout_ and the section; 3_Frames is in the folder above, and the test
// with a real browser in integration.
//
//	2    the URI is absolute and has no fragment                        2_URI
//	2    its own query is kept when iss and sid are added               2_QueryIsKept
//	2    iss and sid come together or not at all                        2_IssAndSidTogether
//	2    a client that requires them has them                           2_IssAndSidTogether
//	2    scheme, host and port are those of a redirect URI              2_SameOriginAsARedirectURI
//	3    the clients to notify are those that used this session         3_LoggedInClients
//	3    each such client's URI is shown in a frame                     3_LoggedInClients, 3_Frames
//	3    sid is in ID tokens too, the same                              3_SidOfIDTokens
//	3    different sessions have different sids                         3_SidOfIDTokens
//	3    support for it, and for iss and sid, is in the metadata        3_Metadata
//
// Clearing its session, and the headers against caching of its page, are the client's part (2): see the demo
// clients.

// frames returns the addresses of the frames of a page.
func frames(page string) (addresses []string) {
	for _, found := range regexp.MustCompile(`<iframe src="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		addresses = append(addresses, html.UnescapeString(found[1]))
	}
	return addresses
}

// front returns a host whose clients have front-channel logout URIs.
func front(uris map[string]string) option {
	return func(_ *host, c *fositestore.Config) {
		clients := logout.ClientMap{}
		for id, uri := range uris {
			clients[id] = logout.Client{FrontChannelLogoutURI: uri, FrontChannelSessionRequired: id == "app"}
		}
		c.Host.Clients = clients
	}
}

func TestFrontChannelLogout_2_URI(t *testing.T) {
	t.Parallel()
	for uri, good := range map[string]bool{
		"https://app.example/out": true, "https://app.example:8443/out?a=b": true,
		"http://app.example/out": true,
		"/out":                   false, "app.example/out": false, "https://app.example/out#": false,
		"https://app.example/out#x": false, "app:/out": false,
		"https:///out": false, "javascript:alert(1)": false,
	} {
		if err := logout.ValidateClient(logout.Client{ClientID: "app", FrontChannelLogoutURI: uri}); (err ==
			nil) != good {
			t.Errorf("%s: %v, want it accepted %v", uri, err, good)
		}
		client := logout.Client{FrontChannelLogoutURI: uri}
		if got, err := client.FrontChannelURL(issuer, "sid"); (err == nil) != good {
			t.Errorf("%s: shown as %q, %v, want that %v", uri, got, err, good)
		}
	}
}

func TestFrontChannelLogout_2_QueryIsKept(t *testing.T) {
	t.Parallel()
	added := url.Values{"iss": {issuer}, "sid": {"s 1"}}.Encode()
	for uri, want := range map[string]string{
		"https://app.example/out":                    "https://app.example/out?" + added,
		"https://app.example/out?a=b&a=%20&c":        "https://app.example/out?a=b&a=%20&c&" + added,
		"https://app.example/out?q=a+b%2Bc;d&iss=me": "https://app.example/out?q=a+b%2Bc;d&iss=me&" + added,
	} {
		client := logout.Client{FrontChannelLogoutURI: uri}
		if got, err := client.FrontChannelURL(issuer, "s 1"); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", uri, got, err, want)
		}
	}
}

func TestFrontChannelLogout_2_IssAndSidTogether(t *testing.T) {
	t.Parallel()
	// One client requires iss and sid, the other does not.
	h := newHost(t,
		front(map[string]string{"app": "https://app.example/1", "other": "https://app.example/2"}))
	b, r := h.tokens("ann")
	h.exchange(b.code("client_id", "other"), "as", "other").must(t, http.StatusOK, "")
	sid := h.sid("ann")
	shown := frames(b.endSession(http.MethodGet, url.Values{"id_token_hint": {r.str("id_token")}}).body)
	if len(shown) != 2 {
		t.Fatalf("frames %q, want two", shown)
	}
	for _, address := range shown {
		uri, err := url.Parse(address)
		if err != nil || uri.Query().Get("iss") != issuer || uri.Query().Get("sid") != sid {
			t.Errorf("frame %q, %v; want iss and sid of the session", address, err)
		}
	}
}

func TestFrontChannelLogout_2_SameOriginAsARedirectURI(t *testing.T) {
	t.Parallel()
	for uri, shown := range map[string]bool{
		"https://app.example/out": true, "https://APP.example:443/out": true,
		"https://app.example:8443/out": false, "http://app.example/out": false,
		"https://sub.app.example/out": false, "https://app.example.evil.example/out": false,
		"https://app.example@evil.example/out": false,
	} {
		h := newHost(t, front(map[string]string{"app": uri}))
		b, r := h.tokens("ann")
		answer := b.endSession(http.MethodGet, url.Values{"id_token_hint": {r.str("id_token")}})
		if got := frames(answer.body); (len(got) == 1) != shown {
			t.Errorf("%s: frames %q, want it shown %v", uri, got, shown)
		}
		b.mustBe("")
	}
}

func TestFrontChannelLogout_3_LoggedInClients(t *testing.T) {
	t.Parallel()
	h := newHost(t,
		front(map[string]string{"app": "https://app.example/1", "other": "https://app.example/2"}))
	h.memory.Clients["third"] = &fosite.DefaultClient{ID: "third", RedirectURIs: []string{redirectURI}}
	b, r := h.tokens("ann")
	elsewhere := h.browser().signIn("bob")
	// in another session
	h.exchange(elsewhere.code("client_id", "other"), "as", "other").must(t, http.StatusOK, "")
	sid := h.sid("ann")
	want := []string{"https://app.example/1?" + url.Values{"iss": {issuer}, "sid": {sid}}.Encode()}
	form := url.Values{"id_token_hint": {r.str("id_token")}}
	if diff := cmp.Diff(want, frames(b.endSession(http.MethodGet, form).body)); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
	if got := frames(b.endSession(http.MethodGet, form).body); len(got) != 0 {
		t.Errorf("frames %q of a session that has ended, want none", got)
	}
	elsewhere.mustBe("bob")
}

func TestFrontChannelLogout_3_SidOfIDTokens(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	var sids []any
	for range 3 {
		b := h.browser().signIn("ann")
		exchanged := h.exchange(b.code())
		sid := claims(t, exchanged.str("id_token"))["sid"]
		for name, token := range map[string]string{
			"refresh": h.refresh(exchanged.str("refresh_token")).str("id_token"),
			"implicit": b.get("/authorize",
				authorization("response_type", "id_token")).redirect.Get("id_token"),
			"hybrid": b.get("/authorize",
				authorization("response_type", "code id_token")).redirect.Get("id_token"),
		} {
			if c := claims(t, token); c["sid"] != sid || c["iss"] != issuer {
				t.Errorf("%s: claims %v, want sid %v", name, c, sid)
			}
		}
		// Section 5: sids are unguessable.
		if text, ok := sid.(string); !ok || len(text) < 22 || slices.Contains(sids, sid) {
			t.Errorf("sid %v after %v, want one of its own with 128 bits", sid, sids)
		}
		sids = append(sids, sid)
	}
}

func TestFrontChannelLogout_3_Metadata(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	document, err := h.sessions.Metadata(issuer + "/end_session").MergeInto(map[string]any{"issuer": issuer})
	if err != nil || document["frontchannel_logout_supported"] != true ||
		document["frontchannel_logout_session_supported"] != true {
		t.Errorf("%v, %v; want both supported", document, err)
	}
}
