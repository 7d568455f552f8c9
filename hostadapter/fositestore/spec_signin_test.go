package fositestore_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// OpenID Connect Core 1.0, section 3.1.2.1: requests that require a new sign-in. A user who has signed in
// since the request arrived is not asked again, which would loop.
func TestOpenIDCore_3_1_2_1_NeedsSignIn(t *testing.T) {
	t.Parallel()
	hintOf := func(subject string) string {
		return sign(t, signingKey(), "ES256", "JWT", `{"iss":"`+issuer+`","sub":"`+subject+`","aud":"app"}`)
	}
	requested := time.Now()
	for name, test := range map[string]struct {
		form url.Values
		age  time.Duration // of the sign-in, at the request
		need bool
	}{
		"nothing":                 {nil, time.Hour, false},
		"prompt=none":             {url.Values{"prompt": {"none"}}, time.Hour, false},
		"prompt=consent":          {url.Values{"prompt": {"consent"}}, time.Hour, false},
		"prompt=login":            {url.Values{"prompt": {"login"}}, time.Millisecond, true},
		"prompt=login, just done": {url.Values{"prompt": {"login"}}, -time.Millisecond, false},
		"prompt=select_account": {
			url.Values{"prompt": {"select_account"}}, time.Millisecond, true,
		},
		"prompt=select_account, just done": {
			url.Values{"prompt": {"select_account"}}, -time.Millisecond, false,
		},
		"prompt=consent login": {url.Values{"prompt": {"consent login"}}, time.Hour, true},
		"prompt=login and all, just done": {
			url.Values{"prompt": {"login consent select_account"}}, 0, false,
		},
		"prompt with spaces":                {url.Values{"prompt": {" login "}}, time.Hour, true},
		"prompt in capitals, which is none": {url.Values{"prompt": {"LOGIN"}}, time.Hour, false},
		"max_age=0":                         {url.Values{"max_age": {"0"}}, time.Millisecond, true},
		"max_age=0, just done":              {url.Values{"max_age": {"0"}}, -time.Millisecond, false},
		"max_age not over":                  {url.Values{"max_age": {"60"}}, 59 * time.Second, false},
		"max_age over":                      {url.Values{"max_age": {"60"}}, 61 * time.Second, true},
		"max_age over although prompt=none": {
			url.Values{"max_age": {"60"}, "prompt": {"none"}}, 61 * time.Second, true,
		},
		"max_age beyond all bounds": {
			url.Values{"max_age": {"99999999999999999999"}}, time.Hour, false,
		},
		"max_age negative":              {url.Values{"max_age": {"-1"}}, time.Hour, false},
		"max_age malformed":             {url.Values{"max_age": {"soon"}}, time.Hour, false},
		"acr_values with the session's": {url.Values{"acr_values": {"2 1"}}, time.Hour, false},
		"acr_values without it":         {url.Values{"acr_values": {"2 3"}}, time.Hour, true},
		// they are voluntary
		"acr_values without it, just done": {url.Values{"acr_values": {"2 3"}}, -time.Millisecond, false},
		"id_token_hint of the user": {
			url.Values{"id_token_hint": {hintOf("ann")}}, time.Hour, false,
		},
		"id_token_hint of another": {
			url.Values{"id_token_hint": {hintOf("bob")}}, time.Hour, true,
		},
		// fosite refuses it
		"id_token_hint of another, just done": {
			url.Values{"id_token_hint": {hintOf("bob")}}, -time.Millisecond, false,
		},
		// and this
		"id_token_hint malformed":            {url.Values{"id_token_hint": {"a.b.c"}}, time.Hour, false},
		"login_hint, which is for the form":  {url.Values{"login_hint": {"bob"}}, time.Hour, false},
		"ui_locales, which are for the form": {url.Values{"ui_locales": {"de"}}, time.Hour, false},
		"everything met": {
			url.Values{"max_age": {"60"}, "acr_values": {"1"}, "prompt": {"consent"}}, time.Second, false,
		},
	} {
		request := fosite.NewAuthorizeRequest()
		request.Form, request.RequestedAt = test.form, requested
		session := &hostadapter.Session{SubjectID: "ann", ACR: "1", AuthTime: requested.Add(-test.age)}
		if got := fositestore.NeedsSignIn(session, request); got != test.need {
			t.Errorf("%s: %v, want %v", name, got, test.need)
		}
		if !fositestore.NeedsSignIn(nil, request) {
			t.Errorf("%s: without a session no sign-in is required", name)
		}
		// fosite would refuse it: the clock was set back.
		request.RequestedScope = fosite.Arguments{"openid"}
		ahead := &hostadapter.Session{SubjectID: "ann", ACR: "1", AuthTime: time.Now().Add(time.Minute)}
		if !fositestore.NeedsSignIn(ahead, request) {
			t.Errorf("%s: no sign-in is required over one of the future", name)
		}
		request.RequestedScope = nil
		session.ACR = "" // a host without acr: nothing to compare, and no other sign-in to offer
		if got := fositestore.NeedsSignIn(session, request); got !=
			(test.need && test.form.Get("acr_values") == "") {
			t.Errorf("%s, without an acr: %v", name, got)
		}
	}
}

// With prompt=none the user never sees a page, whatever else the request contains: the client gets an error.
// A pushed request (RFC 9126) is judged at its arrival at the authorization endpoint, like other requests: a
// sign-in between push and arrival was for a different request.
func TestOpenIDCore_3_1_2_1_SignInAfterThePush(t *testing.T) {
	t.Parallel()
	for _, param := range [][]string{{"prompt", "login"}, {"max_age", "0"}} {
		h := newHost(t)
		pushed := h.post("/par", authorization(param...))
		pushed.must(t, http.StatusCreated, "")
		b := h.browser().signIn("ann")
		query := url.Values{"client_id": {"app"}, "request_uri": {pushed.str("request_uri")}}
		if r := b.get("/authorize", query); r.status != http.StatusUnauthorized {
			t.Errorf("%v: %d %v, want the login form", param, r.status, r.redirect)
		}
		form := again(query)
		form.Set("user", "ann")
		b.get("/authorize", form).mustCode(t, "after the login form")
	}
}

func TestOpenIDCore_3_1_2_1_PromptNone(t *testing.T) {
	t.Parallel()
	clock := &movedClock{}
	h := newHost(t, func(_ *host, c *fositestore.Config) { c.Host.Now = clock.now })
	clock.advance(-time.Hour)
	b, r := h.tokens("ann")
	_, other := h.tokens("bob")
	clock.advance(time.Hour)
	for name, test := range map[string]struct {
		changes []string
		refused string
	}{
		"alone": {nil, ""}, "with login": {[]string{"prompt", "none login"}, "invalid_request"},
		"with consent":        {[]string{"prompt", "none consent"}, "invalid_request"},
		"with select_account": {[]string{"prompt", "select_account none"}, "invalid_request"},
		"max_age over":        {[]string{"max_age", "60"}, "login_required"},
		"max_age not over":    {[]string{"max_age", "7200"}, ""},
		"max_age=0":           {[]string{"max_age", "0"}, "login_required"},
		"another acr":         {[]string{"acr_values", "2"}, "login_required"},
		"hint of the user":    {[]string{"id_token_hint", r.str("id_token")}, ""},
		"hint of another":     {[]string{"id_token_hint", other.str("id_token")}, "login_required"},
	} {
		answer := b.get("/authorize", authorization(append([]string{"prompt", "none"}, test.changes...)...))
		code, problem := answer.redirect.Get("code"), answer.redirect.Get("error")
		if answer.status != http.StatusSeeOther || (code == "") != (test.refused != "") ||
			problem != test.refused {
			t.Errorf("%s: %d %v, want the error %q", name, answer.status, answer.redirect, test.refused)
		}
	}
	if answer := h.browser().get("/authorize",
		authorization("prompt", "none")); answer.redirect.Get("error") != "login_required" {
		t.Errorf("without a session: %d %v, want login_required", answer.status, answer.redirect)
	}
}

// Section 3.1.2.2: no tokens for a user other than the hint's, who may sign in instead.
func TestOpenIDCore_3_1_2_2_HintOfAnotherUser(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b, _ := h.tokens("ann")
	_, other := h.tokens("bob")
	hint := other.str("id_token")
	if answer := b.get("/authorize",
		authorization("id_token_hint", hint)); answer.status != http.StatusUnauthorized {
		t.Errorf("%d %v, want the login form", answer.status, answer.redirect)
	}
	if answer := b.get("/authorize",
		authorization("id_token_hint", hint, "user",
			"ann")); answer.redirect.Get("error") != "login_required" {
		t.Errorf("signed in as a different user again: %d %v, want login_required", answer.status,
			answer.redirect)
	}
	if c := claims(t,
		h.exchange(b.code("id_token_hint", hint, "user", "bob")).str("id_token")); c["sub"] != "bob" {
		t.Errorf("claims %v, want bob's", c)
	}
	if answer := b.get("/authorize",
		authorization("id_token_hint", hint+"x", "user", "bob")); answer.redirect.Get("code") != "" {
		t.Errorf("a hint that is not ours: %v, want no code", answer.redirect)
	}
}

// Rule 10 and section 2: after a requested sign-in the ID token has its auth_time, acr and amr; the sid is
// kept.
func TestRule10_StepUpOfTheSameUserKeepsTheSid(t *testing.T) {
	t.Parallel()
	for _, asks := range [][]string{
		{"prompt", "login"}, {"prompt", "select_account"}, {"max_age", "0"}, {"acr_values", "2"},
	} {
		clock := &movedClock{}
		h := newHost(t, func(_ *host, c *fositestore.Config) { c.Host.Now = clock.now })
		clock.advance(-time.Hour)
		b, r := h.tokens("ann")
		clock.advance(time.Hour)
		before := claims(t, r.str("id_token"))
		if answer := b.get("/authorize", authorization(asks...)); answer.status != http.StatusUnauthorized {
			t.Errorf("%v: %d %v, want the login form", asks, answer.status, answer.redirect)
		}
		after := claims(t, h.exchange(b.code(append(asks, "user", "ann")...)).str("id_token"))
		was, _ := before["auth_time"].(float64)
		is, _ := after["auth_time"].(float64)
		if after["sid"] != before["sid"] || is-was < 3500 {
			t.Errorf("%v: sid %v after %v, auth_time %s after %s; want the session, signed in to again", asks,
				after["sid"], before["sid"],
				strconv.FormatFloat(is, 'f', 0, 64), strconv.FormatFloat(was, 'f', 0, 64))
		}
		h.mustActive(r.str("access_token"), true)
	}
}

// maxAgeClient has a default_max_age.
type maxAgeClient struct {
	*fosite.DefaultClient
	seconds *int
}

func (c *maxAgeClient) GetDefaultMaxAge() *int { return c.seconds }

// OpenID Connect Dynamic Client Registration 1.0, section 2: default_max_age applies if a request has no
// max_age.
func TestDynamicRegistration_2_DefaultMaxAge(t *testing.T) {
	t.Parallel()
	number := func(n int) *int { return &n }
	for name, test := range map[string]struct {
		seconds *int
		form    url.Values
		need    bool
	}{
		"none": {nil, nil, false}, "over": {number(60), nil, true}, "not over": {number(7200), nil, false},
		"zero": {number(0), nil, true}, "beyond all bounds": {number(math.MaxInt), nil, false},
		"negative, which is always": {number(-1), nil, true},
		"overridden by a longer":    {number(60), url.Values{"max_age": {"7200"}}, false},
		"overridden by a shorter":   {number(7200), url.Values{"max_age": {"60"}}, true},
		"not by one that is none":   {number(60), url.Values{"max_age": {"soon"}}, true},
	} {
		request := fosite.NewAuthorizeRequest()
		request.Form, request.Client = test.form,
			&maxAgeClient{&fosite.DefaultClient{ID: "app"}, test.seconds}
		session := &hostadapter.Session{SubjectID: "ann", AuthTime: request.RequestedAt.Add(-time.Hour)}
		if got := fositestore.NeedsSignIn(session, request); got != test.need {
			t.Errorf("%s: %v, want %v", name, got, test.need)
		}
		session.AuthTime = request.RequestedAt
		if fositestore.NeedsSignIn(session, request) {
			t.Errorf("%s: asked again just after the sign-in", name)
		}
	}
}

// Section 3.1.2.1 of Core: a hint signed by a rotated key, for the user and for different users.
func TestOpenIDCore_3_1_2_1_HintOfAFormerKey(t *testing.T) {
	t.Parallel()
	former, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, func(_ *host, c *fositestore.Config) {
		c.FormerKeys = func(context.Context) ([]any, error) { return []any{&former.PublicKey}, nil }
	})
	hintOf := func(subject string) string {
		return sign(t, former, "ES256", "JWT", `{"iss":"`+issuer+`","sub":"`+subject+`","aud":"app","exp":2}`)
	}
	b := h.browser().signIn("ann")
	for _, prompt := range []string{"", "none"} {
		for _, responseType := range []string{"code", "code id_token", "id_token"} {
			changes := []string{
				"id_token_hint", hintOf("ann"), "prompt", prompt, "response_type", responseType,
			}
			answer := b.get("/authorize", authorization(changes...)).redirect
			if code := answer.Get("code"); code != "" {
				if c := claims(t, h.exchange(code).str("id_token")); c["sub"] != "ann" {
					t.Errorf("%s: claims %v, want ann's", responseType, c)
				}
			} else if answer.Get("id_token") == "" {
				t.Errorf("prompt %q, %s: %v, want an answer", prompt, responseType, answer)
			}
		}
	}
	for name, hint := range map[string]string{
		"another user": hintOf("bob"), "a key that is none": hintOf("ann")[:20] + "x" + hintOf("ann")[21:],
	} {
		answer := b.get("/authorize", authorization("id_token_hint", hint, "prompt", "none")).redirect
		if problem := answer.Get("error"); problem != "login_required" && problem != "invalid_request" {
			t.Errorf("%s: %v, want it refused", name, answer)
		}
	}
	if answer := b.get("/authorize",
		authorization("id_token_hint", hintOf("bob"), "user",
			"ann")); answer.redirect.Get("error") != "login_required" {
		t.Errorf("ann for bob's hint: %v, want login_required", answer.redirect)
	}
	b.code("id_token_hint", hintOf("bob"), "user", "bob")
}
