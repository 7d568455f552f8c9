package fositestore_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/logout"
)

// The requirements of OpenID Connect RP-Initiated Logout 1.0 for a server, in our words, and their tests. The
// tests begin with TestRPInitiatedLogout_ and the section; those not in this file are in the folder above.
//
//	2    GET and POST are both served                                   2_GetAndPost
//	2    a client_id must be the one that the hint was issued to        2_ClientIDIsTheHints
//	2    the registered redirect URI gets the state back as it was      2_State
//	2    the user is asked without a hint, and with one that belongs    2_AsksTheUser
//	     to neither this session nor this user
//	2    a yes signs the user out                                       2_AsksTheUser
//	2    the other clients are told by what they registered             2_TellsTheClients
//	2    the server must have issued the hint                           2_HintIsOurs,
//	                                                            2_HintsThatAreNotIDTokensOfThisServer
//	2    a hint past its exp serves a current or a recent session       2_ExpiredHint
//	2    a hint of a session neither current nor recent is suspect      2_AsksTheUser
//	                                                                    (a session that is unknown)
//	2.1  end_session_endpoint is in the metadata                        2_1_Metadata
//	3    no redirect to what is not registered, character by character  3_RegisteredRedirectsOnly
//	3    no redirect where no client is known to have asked             3_NoRedirectWithoutClient
//	3    the redirect comes after the clients were notified             3_RedirectAfterTheNotifications
//	4    what does not validate is not used                             4_WhatIsWrongIsNotUsed,
//	                                                                    3_RegisteredRedirectsOnly
//	4    it leaves no user signed in without a way on                   4_WhatIsWrongIsNotUsed,
//	                                                                    4_ClientThatIsGone
//	4    a sign-out without a signed-in user is no error                4_NobodySignedIn
//
// That end_session_endpoint uses https (2.1) is up to the issuer that the host has. The rest is for clients.

const bye = "https://app.example/bye?from=op"

// signsOut returns a host whose clients have redirect addresses and logout endpoints.
func signsOut(_ *host, c *fositestore.Config) {
	c.Host.Clients = logout.ClientMap{
		"app": {
			BackChannelLogoutURI:   "https://app.example/out",
			PostLogoutRedirectURIs: []string{bye, "com.app:/bye"},
		},
		"other": {
			FrontChannelLogoutURI:  "https://app.example/clear?a=b",
			PostLogoutRedirectURIs: []string{"https://other.example/bye"},
		},
	}
}

// endSession requests the end-session endpoint.
func (b *browser) endSession(method string, parameters url.Values) *reply {
	b.h.t.Helper()
	if method == http.MethodGet {
		return b.get("/end_session", parameters)
	}
	return b.h.read(b.client.PostForm(b.h.server.URL+"/end_session", parameters))
}

// mustBe fails the test unless the browser is signed in as the subject, or signed out if the subject is
// empty.
func (b *browser) mustBe(subject string) {
	b.h.t.Helper()
	r := b.get("/whoami", nil)
	if r.status != http.StatusOK || r.body != subject {
		b.h.t.Errorf("signed in as %q, want %q (%d)", r.body, subject, r.status)
	}
}

func (r *reply) mustRedirect(t *testing.T, location string) {
	t.Helper()
	if r.status != http.StatusSeeOther || r.header.Get("Location") != location {
		t.Errorf("%d to %q, want to be sent to %q: %s", r.status, r.header.Get("Location"), location, r.body)
	}
}

func (r *reply) mustNotRedirect(t *testing.T) {
	t.Helper()
	if to := r.header.Get("Location"); to != "" || r.status/100 == 3 {
		t.Errorf("%d to %q, want to be sent nowhere", r.status, to)
	}
}

var question = regexp.MustCompile(`name="confirm" value="([^"]+)"`)

// hint returns an ID token with the session's claims, changed by with.
func (h *host) hint(sid string, with map[string]any) string {
	h.t.Helper()
	c := map[string]any{"iss": issuer, "sub": "ann", "aud": "app", "sid": sid, "iat": 1, "exp": 2}
	maps.Copy(c, with)
	raw, err := json.Marshal(c)
	if err != nil {
		h.t.Fatal(err)
	}
	return sign(h.t, signingKey(), "ES256", "JWT", string(raw))
}

func TestRPInitiatedLogout_2_GetAndPost(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		h := newHost(t, signsOut)
		b, r := h.tokens("ann")
		b.endSession(method,
			url.Values{
				"id_token_hint": {r.str("id_token")}, "post_logout_redirect_uri": {bye},
			}).mustRedirect(t, bye)
		b.mustBe("")
	}
}

func TestRPInitiatedLogout_2_ClientIDIsTheHints(t *testing.T) {
	t.Parallel()
	h := newHost(t, signsOut)
	b, r := h.tokens("ann")
	for _, redirect := range []string{"", bye, "https://other.example/bye"} {
		form := url.Values{
			"id_token_hint": {r.str("id_token")}, "client_id": {"other"},
			"post_logout_redirect_uri": {redirect},
		}
		answer := b.endSession(http.MethodGet, form)
		answer.must(t, http.StatusBadRequest, "")
		answer.mustNotRedirect(t)
	}
	b.mustBe("ann")
	b.endSession(http.MethodGet,
		url.Values{
			"id_token_hint": {r.str("id_token")}, "client_id": {"app"}, "post_logout_redirect_uri": {bye},
		}).
		mustRedirect(t, bye)
}

func TestRPInitiatedLogout_2_State(t *testing.T) {
	t.Parallel()
	h := newHost(t, signsOut)
	for given, want := range map[string]string{
		"a+b &=?#/ü": "&state=a%2Bb+%26%3D%3F%23%2F%C3%BC", "": "&state=",
	} {
		b, r := h.tokens("ann")
		b.endSession(http.MethodPost, url.Values{
			"id_token_hint": {r.str("id_token")}, "post_logout_redirect_uri": {bye}, "state": {given},
		}).mustRedirect(t, bye+want)
	}
}

func TestRPInitiatedLogout_2_AsksTheUser(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(h *host, own string) url.Values{
		"no hint": func(*host, string) url.Values { return url.Values{} },
		"no hint but a client": func(*host, string) url.Values {
			return url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {bye}}
		},
		"a hint of another session of hers": func(h *host, _ string) url.Values {
			_, r := h.tokens("ann")
			return url.Values{"id_token_hint": {r.str("id_token")}}
		},
		"a hint of another user": func(h *host, _ string) url.Values {
			_, r := h.tokens("bob")
			return url.Values{"id_token_hint": {r.str("id_token")}, "post_logout_redirect_uri": {bye}}
		},
		"a hint of a session that is unknown": func(h *host, _ string) url.Values {
			return url.Values{"id_token_hint": {h.hint("long gone", nil)}}
		},
		"a hint of hers with another's sub": func(h *host, own string) url.Values {
			return url.Values{"id_token_hint": {h.hint(own, map[string]any{"sub": "bob"})}}
		},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(name+" by "+method, func(t *testing.T) {
				t.Parallel()
				h := newHost(t, signsOut)
				b, r := h.tokens("ann")
				own, _ := claims(t, r.str("id_token"))["sid"].(string)
				form := ask(h, own)
				answer := b.endSession(method, form)
				answer.must(t, http.StatusOK, "")
				answer.mustNotRedirect(t)
				b.mustBe("ann")
				found := question.FindStringSubmatch(answer.body)
				if found == nil {
					t.Fatalf("no question in %s", answer.body)
				}
				yes := b.endSession(http.MethodPost, url.Values{"confirm": {found[1]}})
				if form.Has("post_logout_redirect_uri") {
					yes.mustRedirect(t, bye)
				} else {
					yes.must(t, http.StatusOK, "")
				}
				b.mustBe("")
				h.mustActive(r.str("access_token"), false)
			})
		}
	}
}

func TestRPInitiatedLogout_2_NotifiesTheClients(t *testing.T) {
	t.Parallel()
	h := newHost(t, signsOut)
	b, r := h.tokens("ann")
	h.exchange(b.code("client_id", "other"), "as", "other").must(t, http.StatusOK, "")
	sid := h.sid("ann")
	answer := b.endSession(http.MethodGet,
		url.Values{"id_token_hint": {r.str("id_token")}, "post_logout_redirect_uri": {bye}})
	if want := "https://app.example/clear?a=b&amp;iss=" + url.QueryEscape(issuer) + "&amp;sid=" +
		sid; !strings.Contains(answer.body, want) {
		t.Errorf("no frame of %s in %s", want, answer.body)
	}
	page, err := h.sessions.Operations().QueryNotifications(t.Context(), logout.NotificationQuery{})
	if err != nil || len(page.Notifications) != 1 || page.Notifications[0].ClientID != "app" ||
		page.Notifications[0].SessionID != sid {
		t.Errorf("notifications %+v, %v; want one to app", page, err)
	}
}

func TestRPInitiatedLogout_2_HintIsOurs(t *testing.T) {
	t.Parallel()
	h := newHost(t, signsOut)
	b, r := h.tokens("ann")
	sid := h.sid("ann")
	parts := strings.Split(r.str("id_token"), ".")
	for name, token := range map[string]string{
		"signature of another token": strings.Join(append(parts[:2:2],
			strings.Split(h.hint("x", nil), ".")[2]), "."),
		"no signature":    parts[0] + "." + parts[1] + ".",
		"alg none":        "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"another issuer":  h.hint(sid, map[string]any{"iss": "https://other.example"}),
		"no issuer":       h.hint(sid, map[string]any{"iss": ""}),
		"an access token": r.str("access_token"), "not a token": "x",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			answer := b.endSession(method,
				url.Values{"id_token_hint": {token}, "client_id": {"app"}, "post_logout_redirect_uri": {bye}})
			answer.mustNotRedirect(t)
			if answer.status != http.StatusBadRequest && question.FindString(answer.body) == "" {
				t.Errorf("%s by %s: %d %s; want a refusal, or that the user is asked", name, method,
					answer.status, answer.body)
			}
		}
	}
	b.mustBe("ann")
}

func TestRPInitiatedLogout_2_ExpiredHint(t *testing.T) {
	t.Parallel()
	h := newHost(t, signsOut)
	b, _ := h.tokens("ann")
	expired := url.Values{"id_token_hint": {h.hint(h.sid("ann"), nil)}, "post_logout_redirect_uri": {bye}}
	b.endSession(http.MethodGet, expired).mustRedirect(t, bye) // its session is current
	b.mustBe("")
	b.endSession(http.MethodGet, expired).mustRedirect(t, bye) // and now recent
}

func TestRPInitiatedLogout_2_1_Metadata(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	document, err := h.sessions.Metadata(issuer + "/end_session").MergeInto(map[string]any{"issuer": issuer})
	if err != nil || document["end_session_endpoint"] != issuer+"/end_session" {
		t.Errorf("%v, %v; want the endpoint", document, err)
	}
}

func TestRPInitiatedLogout_3_RegisteredRedirectsOnly(t *testing.T) {
	t.Parallel()
	h := newHost(t, signsOut)
	for _, target := range []string{
		"https://app.example/bye", bye + "&x=y", bye + "#", bye + "/", strings.ToUpper(bye),
		"http" + strings.TrimPrefix(bye, "https"),
		"https://app.example:443/bye?from=op", "https://app.example/./bye?from=op",
		"https://app.example/bye?from=%6fp", " " + bye,
		"https://other.example/bye", "https://evil.example/", "//evil.example/", "javascript:alert(1)",
		redirectURI,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			b, r := h.tokens("ann")
			asked := b.endSession(method,
				url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {target}})
			asked.must(t, http.StatusOK, "")
			asked.mustNotRedirect(t)
			b.mustBe("ann")
			answer := b.endSession(method,
				url.Values{"id_token_hint": {r.str("id_token")}, "post_logout_redirect_uri": {target}})
			answer.must(t, http.StatusOK, "")
			answer.mustNotRedirect(t)
			b.mustBe("")
			found := question.FindStringSubmatch(asked.body)
			if found == nil {
				t.Fatalf("no question in %s", asked.body)
			}
			b.signIn("ann")
			asked = b.endSession(http.MethodPost, url.Values{"confirm": {found[1]}})
			asked.mustNotRedirect(t)
		}
	}
	b, r := h.tokens("ann")
	b.endSession(http.MethodGet,
		url.Values{"id_token_hint": {r.str("id_token")}, "post_logout_redirect_uri": {"com.app:/bye"}}).
		mustRedirect(t, "com.app:/bye")
}

func TestRPInitiatedLogout_3_NoRedirectWithoutClient(t *testing.T) {
	t.Parallel()
	h := newHost(t, signsOut)
	signedIn, _ := h.tokens("ann")
	for _, b := range []*browser{signedIn, h.browser()} {
		for _, clientID := range []string{"", "nobody"} {
			answer := b.endSession(http.MethodGet,
				url.Values{"client_id": {clientID}, "post_logout_redirect_uri": {bye}})
			answer.must(t, http.StatusOK, "")
			answer.mustNotRedirect(t)
		}
	}
	signedIn.mustBe("ann")
}

func TestRPInitiatedLogout_4_InvalidParametersAreIgnored(t *testing.T) {
	t.Parallel()
	h := newHost(t, signsOut)
	b, r := h.tokens("ann")
	good := url.Values{
		"id_token_hint": {r.str("id_token")}, "client_id": {"app"}, "post_logout_redirect_uri": {bye},
		"state": {"s"},
	}
	for name, value := range map[string]string{
		"id_token_hint": "x", "client_id": "other", "state": strings.Repeat("x", 20_000),
	} {
		wrong := again(good)
		wrong.Set(name, value)
		answer := b.endSession(http.MethodPost, wrong)
		answer.must(t, http.StatusBadRequest, "")
		answer.mustNotRedirect(t)
		if question.FindString(answer.body) == "" {
			t.Errorf("%s: a page without a way on: %s", name, answer.body)
		}
		twice := again(good)
		twice.Add(name, good.Get(name))
		b.endSession(http.MethodPost, twice).must(t, http.StatusBadRequest, "")
	}
	b.mustBe("ann")
}

func TestRPInitiatedLogout_4_NobodySignedIn(t *testing.T) {
	t.Parallel()
	h := newHost(t, signsOut)
	_, r := h.tokens("ann")
	h.end("ann")
	nobody := h.browser()
	for range 2 {
		nobody.endSession(http.MethodGet,
			url.Values{
				"id_token_hint": {r.str("id_token")}, "post_logout_redirect_uri": {bye}, "state": {"s"},
			}).
			mustRedirect(t, bye+"&state=s")
		nobody.endSession(http.MethodGet,
			url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {bye}}).mustRedirect(t, bye)
		nobody.endSession(http.MethodGet, nil).must(t, http.StatusOK, "")
	}
}

// A client that was deleted while its users are signed in.
func TestRPInitiatedLogout_4_RemovedClient(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, byHint := range []bool{true, false} {
			h := newHost(t, signsOut)
			b, r := h.tokens("ann")
			h.exchange(b.code("client_id", "other"), "as", "other").must(t, http.StatusOK, "")
			delete(h.memory.Clients, "app")
			form := url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {bye}}
			if byHint {
				form = url.Values{"id_token_hint": {r.str("id_token")}, "post_logout_redirect_uri": {bye}}
			}
			answer := b.endSession(method, form)
			answer.mustNotRedirect(t)
			found := question.FindStringSubmatch(answer.body)
			if found == nil {
				t.Fatalf("%s: %d %s, want the question", method, answer.status, answer.body)
			}
			b.endSession(http.MethodPost, url.Values{"confirm": {found[1]}}).mustNotRedirect(t)
			b.mustBe("")
		}
	}
}

// OpenID Connect Core 1.0, section 2: an ID token for several audiences, one of them the client's own API.
func TestRPInitiatedLogout_2_HintForSeveral(t *testing.T) {
	t.Parallel()
	for name, audience := range map[string][]string{
		"an API": {"https://api.example/", "app"}, "another client": {"other", "app"},
		"a client twice": {"app", "app"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			h := newHost(t, signsOut)
			b, _ := h.tokens("ann")
			hint := h.hint(h.sid("ann"), map[string]any{"aud": audience})
			answer := b.endSession(method,
				url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}, "state": {"a;b"}})
			if answer.status != http.StatusSeeOther {
				t.Errorf("%s: %d %s", name, answer.status, answer.body)
			}
			answer.mustRedirect(t, bye+"&state=a%3Bb")
			b.mustBe("")
		}
	}
}
