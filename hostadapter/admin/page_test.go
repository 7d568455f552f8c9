package admin_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestPageAddressesBelowTheMount(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	stripped := http.StripPrefix("/admin",
		admin.Handler(admin.Config{Operations: h.Operations(), Authorize: authorize}))
	for address, want := range map[string]string{"": "admin/ui/", "/": "ui/", "/ui": "ui/"} {
		w := httptest.NewRecorder()
		stripped.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/admin"+address, nil))
		if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != want {
			t.Errorf("%q with its prefix stripped: %d to %q, want 303 to %q", address, w.Code, got, want)
		}
		response := h.get("", address)
		if response.status != http.StatusSeeOther || response.header.Get("Location") != want {
			t.Errorf("%q: %d to %q, want 303 to %q", address, response.status,
				response.header.Get("Location"), want)
		}
		reached, err := url.Parse("http://op.example/admin" + address)
		if err != nil {
			t.Fatal(err)
		}
		if reached, err = reached.Parse(response.header.Get("Location")); err != nil ||
			reached.Path != "/admin/ui/" {
			t.Errorf("%q leads a browser to %v (error %v), want /admin/ui/", address, reached, err)
		}
	}
	h.get("reader", "/ui/").mustSay(http.StatusOK, "<h1>Sessions</h1>", "No active sessions.")
}

func TestSecurityHeadersOfPages(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "ann", "Ann", time.Minute, "shop")
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script[^>]*>[^<]|javascript:`)
	outside := regexp.MustCompile(`(?i)(src|href|action)="(https?:)?//`)
	for _, address := range []string{
		"/ui/", "/ui/session?session_id=s1", "/ui/remove?session_id=s1", "/ui/deliveries", "/ui/nowhere/else",
		"/ui/session?session_id=none",
	} {
		page := h.get("writer", address)
		policy := page.header.Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'",
			"base-uri 'none'", "frame-ancestors 'none'",
		} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q lacks %q", address, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") ||
			strings.Contains(policy, "http") {
			t.Errorf("%s: policy %q is lax", address, policy)
		}
		for name, want := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
			"Referrer-Policy":            "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := page.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", address, name, got, want)
			}
		}
		if found := inline.FindString(page.body); found != "" {
			t.Errorf("%s has %q, which its policy forbids", address, found)
		}
		if found := outside.FindString(page.body); found != "" {
			t.Errorf("%s leads outside: %q", address, found)
		}
	}
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	page := h.get("writer", "/ui/nowhere/deep/down")
	for _, name := range []string{"style.css", "page.js", "icon.svg"} {
		found := regexp.MustCompile(`"([^"]*static/` + name + `[^"]*)"`).FindStringSubmatch(page.body)
		if found == nil {
			t.Fatalf("the page does not load %s", name)
		}
		from, _ := url.Parse("/ui/nowhere/deep/down")
		target, err := from.Parse(found[1])
		if err != nil || target.Path != "/ui/static/"+name {
			t.Fatalf("%s is at %v, error %v", name, target, err)
		}
		file := h.get("", target.String())
		if file.status != http.StatusOK || !strings.Contains(file.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, Cache-Control %q, want it to be kept", name, file.status,
				file.header.Get("Cache-Control"))
		}
		if old := h.get("", target.Path+"?v=old"); old.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s of another version may be kept under this one's name", name)
		}
	}
	for _, address := range []string{"/ui/static/", "/ui/static/none", "/ui/static/sub/style.css"} {
		if file := h.get("", address); file.status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", address, file.status)
		}
	}
}

func TestSessionsAreFiltered(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("sid-ann", "1001", "Ann Example", 3*time.Hour, "shop")
	h.signedIn("sid-ben", "1002", "Ben Example", 2*time.Hour, "mail")
	h.signedIn("sid-cho", "1003", "Chloë", time.Hour)
	ago := func(d time.Duration) string { return h.start.Add(-d).Format("2006-01-02T15:04:05") }
	for query, want := range map[string][]string{
		"":                               {"Ann Example", "Ben Example", "Chloë", "3 sessions"},
		"display_name=example":           {"Ann Example", "Ben Example", "!Chloë"},
		"display_name=CHLO%C3%8B":        {"Chloë", "!Ann Example", "1 session matches"},
		"subject_id=1002":                {"Ben Example", "!Ann Example", "remove?subject_id=1002"},
		"client_id=shop":                 {"Ann Example", "!Ben Example"},
		"session_id=sid-cho":             {"Chloë", "!Ann Example"},
		"subject_id=1001&client_id=mail": {"No session matches"},
		"created_after=" + ago(150*time.Minute) + "&created_before=" + ago(90*time.Minute): {
			"Ben Example", "!Ann Example", "!Chloë",
		},
		"expires_after=2099-01-01T00:00":  {"No session matches"},
		"expires_before=2099-01-01T00:00": {"Ann Example", "Ben Example", "Chloë"},
	} {
		h.get("writer", "/ui/?"+query).mustSay(http.StatusOK, want...)
	}
	page := h.get("writer", "/ui/?order=asc")
	if strings.Index(page.body, "Ann Example") > strings.Index(page.body, "Ben Example") {
		t.Error("oldest first shows Ben before Ann")
	}
	for query, want := range map[string]string{
		"created_after=yesterday":                "Signed in from is not a time",
		"count_requested=0":                      "Rows is not a number from 1 to 1000",
		"subject_id=" + strings.Repeat("x", 513): "Subject is longer than",
		"results_token=x":                        "cannot be continued",
		"misspelled=1":                           "misspelled is not a parameter",
	} {
		h.get("writer", "/ui/?"+query).mustSay(http.StatusBadRequest, want, `role="alert"`, "!Ann Example")
	}
}

func TestSessionsPageByPage(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	for i := range 7 {
		h.signedIn(fmt.Sprintf("s%d", i), "many", fmt.Sprintf("User %d", i), time.Duration(i+1)*time.Minute)
	}
	h.signedIn("other", "one", "Somebody else", time.Minute)
	page := h.get("writer", "/ui/?subject_id=many&count_requested=3").mustSay(http.StatusOK, "User 0",
		"User 2", "!User 3", "Page 1 of 3", "7 sessions match")
	if strings.Contains(page.body, `rel="prev"`) {
		t.Error("the first page leads back")
	}
	page = h.get("writer", "/ui/"+page.link("Next")).mustSay(http.StatusOK, "User 3", "User 5", "!User 2",
		"!Somebody else", "Page 2 of 3", `value="many"`)
	last := h.get("writer", "/ui/"+page.link("Next")).mustSay(http.StatusOK, "User 6", "!User 5",
		`!rel="next"`)
	h.get("writer", "/ui/"+last.link("Previous")).mustSay(http.StatusOK, "User 3", "User 5", "!User 6")
	h.get("writer", "/ui/"+last.link("First")).mustSay(http.StatusOK, "User 0", "!User 3")
}

func TestOneSession(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.keep(ticketstore.Session{
		SessionID: "s1", SubjectID: "1001", DisplayName: "Ann Example", ACR: "urn:example:gold",
		AMR: []string{"pwd", "otp"}, RemoteAddr: "2001:db8::7",
		UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, " +
			"like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
		Created: h.start.Add(-time.Hour),
	}, "shop", "mail")
	h.get("reader", "/ui/session?session_id=s1").mustSay(http.StatusOK,
		"Ann Example", "1001", "<code>s1</code>", "https://op.example", "pwd", "otp", "urn:example:gold",
		"2001:db8::7",
		"Safari 17 on iPhone", "iPhone OS 17_5 like Mac OS X", "1 h ago", "shop", "mail", "notified",
		"Refresh token", "<dd>2</dd>")
	h.get("reader", "/ui/session?session_id=unknown").mustSay(http.StatusNotFound, "Not found",
		"no such active session")
	h.get("reader", "/ui/session").mustSay(http.StatusBadRequest, "session_id is empty")
}

func TestReadersSeeNoButtons(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop", "mail")
	h.signedIn("s2", "1001", "Ann Example", time.Hour, "mail")
	if _, err := h.RemoveSessions(t.Context(), hostadapter.SessionRemoval{SessionID: "s2"}); err != nil {
		t.Fatal(err)
	}
	buttons := []string{
		`href="remove`, `action="retry-all"`, `action="remove"`, `action="retry"`,
		`name="session_id" value="s1" aria-label`,
	}
	for _, address := range []string{
		"/ui/?subject_id=1001", "/ui/session?session_id=s1", "/ui/deliveries?session_id=s2", "/ui/backend",
	} {
		reader, writer := h.get("reader", address), h.get("writer", address)
		reader.mustSay(http.StatusOK, "read-only", "the reader")
		writer.mustSay(http.StatusOK, "!read-only", "the writer")
		shown := 0
		for _, button := range buttons {
			if strings.Contains(reader.body, button) && button != `action="remove"` {
				t.Errorf("%s: a reader sees %s", address, button)
			}
			if strings.Contains(writer.body, button) {
				shown++
			}
		}
		if shown == 0 {
			t.Errorf("%s: a writer sees no button", address)
		}
	}
	h.get("reader", "/ui/remove?session_id=s1").mustSay(http.StatusForbidden, "Not allowed")
	h.post("reader", "/ui/remove",
		url.Values{
			"session_id": {"s1"}, "remove_server_side_session": {"true"},
		}).mustSay(http.StatusForbidden)
	h.post("reader", "/ui/retry", url.Values{"id": {"x"}}).mustSay(http.StatusForbidden)
	if _, err := h.Operations().SessionByID(t.Context(), "s1"); err != nil {
		t.Errorf("the session after a reader's attempt: %v, want it live", err)
	}
	if log := h.log.String(); strings.Count(log, "status=403") != 3 ||
		!strings.Contains(log, "actor_id=reader") {
		t.Errorf("the log lacks the three refused attempts of the reader:\n%s", log)
	}
}

func TestUnauthenticatedPage(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour)
	page := h.get("", "/ui/deliveries")
	if page.status != http.StatusSeeOther ||
		page.header.Get("Location") != "/operators?from=%2Fadmin%2Fui%2Fdeliveries" {
		t.Errorf("%d to %q, want 303 to the operators' sign-in", page.status, page.header.Get("Location"))
	}
	h.post("", "/ui/remove", url.Values{"session_id": {"s1"}, "remove_server_side_session": {"true"}}).
		mustSay(http.StatusUnauthorized, "Nothing was changed", `href="/operators?from=`)
	if json := h.get("", "/sessions"); json.status != http.StatusUnauthorized ||
		!strings.Contains(json.header.Get("Content-Type"), "problem+json") {
		t.Errorf("JSON without actor: %d %s, want a 401 problem", json.status,
			json.header.Get("Content-Type"))
	}
	if _, err := h.Operations().SessionByID(t.Context(), "s1"); err != nil {
		t.Errorf("the session after an attempt without an actor: %v, want it live", err)
	}
	if log := h.log.String(); strings.Contains(log, "/operators") || !strings.Contains(log, "status=303") ||
		!strings.Contains(log, "status=401") {
		t.Errorf("want a log with the attempts, without the address of the sign-in:\n%s", log)
	}
	h.get("", "/ui/?sign-in=plain").mustSay(http.StatusUnauthorized, "Please sign in")
}

func TestOtherSitesCannotChange(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour)
	form := url.Values{"session_id": {"s1"}, "remove_server_side_session": {"true"}, "do": {"remove"}}
	for name, headers := range map[string]map[string]string{
		"another site": {"Sec-Fetch-Site": "cross-site"}, "a sibling domain": {"Sec-Fetch-Site": "same-site"},
		"an older browser on a different site": {"Origin": "https://evil.example"},
		"a sandboxed page":                     {"Origin": "null"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, address := range []string{"/ui/remove", "/ui/retry"} {
				h.send("writer", http.MethodPost, address, form, headers).mustSay(http.StatusForbidden,
					"another site")
			}
		})
	}
	if _, err := h.Operations().SessionByID(t.Context(), "s1"); err != nil {
		t.Errorf("the session: %v, want it live", err)
	}
	h.send("writer", http.MethodPost, "/ui/remove", form,
		map[string]string{"Sec-Fetch-Site": "same-origin"}).mustSay(http.StatusSeeOther)
}

func TestHostileText(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	markup := `"'><script>alert(1)</script><img src=x onerror=alert(2)>`
	hostile := ticketstore.Session{
		SessionID: markup, SubjectID: markup, DisplayName: markup + "\u202e" + strings.Repeat("W", 4000),
		ACR: markup, AMR: []string{markup},
		RemoteAddr: markup, UserAgent: markup + strings.Repeat("(", 4000), Created: h.start.Add(-time.Minute),
	}
	h.keep(hostile, markup, "javascript:alert(3)")
	sid := url.QueryEscape(markup)
	check := func(address string, page *seen) {
		page.mustSay(page.status, "!<script>alert", "!<img", `!href="javascript`, "!ZgotmplZ")
		if longest := regexp.MustCompile(`W{200,}`).FindString(page.body); len(longest) > 300 &&
			strings.HasPrefix(address, "/ui/?") {
			t.Errorf("%s shows %d characters of a name in a list", address, len(longest))
		}
	}
	for _, address := range []string{
		"/ui/", "/ui/?subject_id=" + sid, "/ui/session?session_id=" + sid, "/ui/remove?session_id=" + sid,
		"/ui/remove?subject_id=" + sid,
		"/ui/?" + sid + "=1", "/ui/" + url.PathEscape(markup), "/ui/?order=" + sid,
		"/ui/deliveries?state=" + sid, "/ui/search?q=" + sid, "/ui/removed?sessions_removed=" + sid,
	} {
		check(address, h.get("writer", address))
	}
	page := h.get("writer", "/ui/?client_id="+url.QueryEscape("javascript:alert(3)")).mustSay(http.StatusOK,
		"1 session matches", "<bdi>")
	check("/ui/?one", page)
	// The links work with any characters in ids.
	h.get("writer", "/ui/"+page.link("<bdi>")).mustSay(http.StatusOK, "User agent")
	form := url.Values{
		"session_id": {markup}, "remove_server_side_session": {"true"},
		"send_backchannel_logout_notification": {"true"}, "reason": {markup},
	}
	check("the removal", h.remove(form).mustSay(http.StatusOK, "<h1>Done</h1>"))
	check("the deliveries", h.get("writer", "/ui/deliveries").mustSay(http.StatusOK, "Back-channel logout"))
	check("the ended session",
		h.get("writer", "/ui/session?session_id="+sid).mustSay(http.StatusNotFound, "This session has ended"))
}

func TestPageFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		status int
		says   []string
	}{
		"unavailable": {
			ticketstore.ErrUnavailable, http.StatusServiceUnavailable,
			[]string{"Try again", "session store cannot be reached"},
		},
		"broken": {
			errors.New("secret detail"), http.StatusInternalServerError,
			[]string{"Something went wrong", "!secret detail"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, address := range []string{
				"/ui/", "/ui/session?session_id=s1", "/ui/remove?session_id=s1", "/ui/deliveries",
			} {
				response := recordPage(&manager{err: c.err},
					httptest.NewRequest(http.MethodGet, "/admin"+address, nil))
				page := &seen{
					t: t, status: response.Code, header: response.Header(), body: response.Body.String(),
				}
				page.mustSay(c.status, append(c.says, "<h1>")...)
				if c.status == http.StatusServiceUnavailable && page.header.Get("Retry-After") == "" {
					t.Errorf("%s: 503 without Retry-After", address)
				}
				_, query, _ := strings.Cut(address, "?")
				if c.status == http.StatusServiceUnavailable && page.link("Try again") != "?"+query {
					t.Errorf("%s: try again leads to %q", address, page.link("Try again"))
				}
			}
		})
	}
	h := newPageHost(t)
	h.get("lost", "/ui/").mustSay(http.StatusServiceUnavailable, "Try again")
	h.get("broken", "/ui/").mustSay(http.StatusInternalServerError)
	if page := h.get("writer", "/ui/retry"); page.status != http.StatusMethodNotAllowed ||
		page.header.Get("Allow") != "POST" {
		t.Errorf("GET of a change: %d, Allow %q, want 405 and POST", page.status, page.header.Get("Allow"))
	}
	h.post("writer", "/ui/", url.Values{}).mustSay(http.StatusMethodNotAllowed)
	if head := h.send("writer", http.MethodHead, "/ui/", nil, nil); head.status != http.StatusOK {
		t.Errorf("HEAD: %d, want 200", head.status)
	}
}

// recordPage serves a request of the writer from a manager with configured answers.
func recordPage(m *manager, r *http.Request) *httptest.ResponseRecorder {
	r.Header.Set("Actor", "writer")
	w := httptest.NewRecorder()
	http.StripPrefix("/admin",
		admin.Handler(admin.Config{Operations: m, Authorize: authorize})).ServeHTTP(w, r)
	return w
}

// A search that the store stopped at its bound has a link to continue, even without a match so far.
func TestSearchContinues(t *testing.T) {
	t.Parallel()
	unknown := ticketstore.Page{
		ResultsToken: "tok", HasNext: true, TotalCount: -1, TotalPages: -1, CurrentPage: -1,
	}
	response := recordPage(&manager{page: unknown},
		httptest.NewRequest(http.MethodGet, "/admin/ui/?display_name=ann", nil))
	page := &seen{t: t, status: response.Code, header: response.Header(), body: response.Body.String()}
	page.mustSay(http.StatusOK, "No match so far", "!No session matches")
	if next := page.link("Continue search"); next != "?display_name=ann&results_token=tok" {
		t.Errorf("search on leads to %q", next)
	}
	unknown.Sessions = []ticketstore.SessionDetail{detail}
	response = recordPage(&manager{page: unknown},
		httptest.NewRequest(http.MethodGet, "/admin/ui/?display_name=ann", nil))
	(&seen{t: t, status: response.Code, body: response.Body.String()}).mustSay(http.StatusOK, "Ann",
		"The search is not complete")
}
