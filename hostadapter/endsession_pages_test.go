package hostadapter_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
)

// Front-Channel Logout 1.0, section 3: iss and sid are added to the address, whose own query is kept.
func TestFrontChannelLogout_3_Frames(t *testing.T) {
	t.Parallel()
	h := newEndSessionHost(t)
	b := h.browser()
	session := b.signIn(hostadapter.Identity{Subject: "ann"})
	for _, client := range []string{"front", "shop", "frame", "unknown"} {
		h.use(session.SessionID, client)
	}
	response := b.get(url.Values{
		"id_token_hint":            {"ann/" + session.SessionID + "/front"},
		"post_logout_redirect_uri": {"com.front.app:/bye"}, "state": {"1"},
	})
	body := bodyOf(t, response)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s, want a page", response.StatusCode, body)
	}
	added := "iss=" + url.QueryEscape(issuer) + "&amp;sid=" + session.SessionID
	for _, want := range []string{
		`<iframe src="https://front.example:8443/clear?a=b&amp;c=%20&amp;` + added + `"`,
		`<iframe src="https://frame.example/clear?` + added + `"`,
		`href="com.front.app:/bye?state=1" data-wait="5000"`,
		`<noscript><meta http-equiv="refresh" content="5;url=com.front.app:/bye?state=1"></noscript>`,
		"<script>" + hostadapter.LogoutScript + "</script>",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("page has no %s: %s", want, body)
		}
	}
	policy := response.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "frame-src https://front.example:8443 https://frame.example;") ||
		!strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q, want frames of these two clients and nothing else from outside", policy)
	}
	b.mustBe("")
	if again := b.get(nil); strings.Contains(bodyOf(t, again), "<iframe") {
		t.Error("frames of a session that has ended before, want none")
	}
}

// A host may render the pages itself.
func TestEndSessionPagesOfTheHost(t *testing.T) {
	t.Parallel()
	var seen []hostadapter.LogoutPage
	h := newHost(t, func(c *hostadapter.Config) {
		c.Hints = hints{}
		c.Clients = logout.ClientMap{"frame": {FrontChannelLogoutURI: "https://frame.example/clear"}}
		c.Logout.Page = func(w http.ResponseWriter, _ *http.Request, page *hostadapter.LogoutPage) {
			seen = append(seen, *page)
			w.WriteHeader(page.Status)
		}
	})
	b := h.browser()
	session := b.signIn(hostadapter.Identity{Subject: "ann", DisplayName: "Ann"})
	h.use(session.SessionID, "frame")
	b.get(url.Values{"ui_locales": {"de-CH en"}, "client_id": {"frame"}})
	b.get(url.Values{"id_token_hint": {"forged"}})
	if got := b.post(url.Values{"confirm": {seen[0].Confirm}}); !strings.Contains(
		got.Header.Get("Content-Security-Policy"), "script-src 'sha256-") {
		t.Errorf("policy %q does not let the script run", got.Header.Get("Content-Security-Policy"))
	}
	b.get(nil)
	confirm := seen[0].Confirm
	want := []hostadapter.LogoutPage{
		{
			Kind: hostadapter.LogoutConfirm, Status: 200, Title: "Sign out?",
			Text: "You are signed in as Ann.", UserName: "Ann", ClientID: "frame",
			UILocales: []string{"de-CH", "en"}, Confirm: confirm,
		},
		{
			Kind: hostadapter.LogoutProblem, Status: 400, Title: "Not possible",
			Text:    "The id_token_hint is not an ID token of this server.",
			Confirm: seen[1].Confirm,
		},
		{
			Kind: hostadapter.LogoutFrames, Status: 200, Title: "Signed out", Text: "You are signed out.",
			ClientID: "frame", UILocales: []string{"de-CH", "en"},
			Frames: []string{
				"https://frame.example/clear?iss=https%3A%2F%2Fop.example&sid=" + session.SessionID,
			}, Wait: 5 * time.Second,
		},
		{Kind: hostadapter.LogoutDone, Status: 200, Title: "Signed out", Text: "You are signed out."},
	}
	if diff := cmp.Diff(want, seen, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

// RP-Initiated Logout 1.0, section 3: the browser is redirected after the clients have been notified. A
// client that does not answer delays it no longer than the host allows.
func TestRPInitiatedLogout_3_RedirectAfterTheNotifications(t *testing.T) {
	t.Parallel()
	var told atomic.Bool
	release := make(chan struct{})
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/dead" {
			<-release
		}
		told.Store(true)
	}))
	t.Cleanup(client.Close)
	t.Cleanup(func() { close(release) })
	for _, path := range []string{"/slow", "/dead"} {
		told.Store(false)
		h := newHost(t, func(c *hostadapter.Config) {
			c.Hints, c.Logout.DeliveryWait = hints{}, 30*time.Second
			if path == "/dead" {
				c.Logout.DeliveryWait = 50 * time.Millisecond
			}
			c.Logout.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
			c.Clients = logout.ClientMap{
				"shop": {
					BackChannelLogoutURI:   client.URL + path,
					PostLogoutRedirectURIs: []string{"https://shop.example/bye"},
				},
			}
		})
		b := h.browser()
		session := b.signIn(hostadapter.Identity{Subject: "ann"})
		h.use(session.SessionID, "shop")
		response := b.get(url.Values{
			"id_token_hint":            {"ann/" + session.SessionID + "/shop"},
			"post_logout_redirect_uri": {"https://shop.example/bye"},
		})
		if response.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %d, want to be sent back", path, response.StatusCode)
		}
		if told.Load() != (path == "/slow") {
			t.Errorf("%s: told %v by then", path, told.Load())
		}
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	type document struct {
		Issuer string   `json:"issuer"`
		Claims []string `json:"claims_supported"`
		Back   bool     `json:"backchannel_logout_supported"`
	}
	got, err := h.Metadata(issuer + "/logout").MergeInto(document{Issuer: issuer, Claims: []string{"sub"}})
	want := map[string]any{
		"issuer": issuer, "claims_supported": []any{"sub", "sid"}, "end_session_endpoint": issuer + "/logout",
		"backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
		"frontchannel_logout_supported": true, "frontchannel_logout_session_supported": true,
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, wrong := range []any{document{Issuer: "https://other.example"}, 5, nil, []string{"a"}, func() {}} {
		if got, err := h.Metadata("x").MergeInto(wrong); err == nil {
			t.Errorf("%T: merged into %v, want an error", wrong, got)
		}
	}
}
