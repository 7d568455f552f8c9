package account_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/account"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type signer struct{}

func (signer) Sign(_ context.Context, claims []byte) (string, error) { return string(claims), nil }

// server is a host with the users' pages below /me/.
type server struct {
	t        *testing.T
	sessions *hostadapter.Adapter
	engine   *badger.Engine
	log      *testenv.Log
	url      string
	client   *http.Client
}

func newServer(t *testing.T, change ...func(*account.Config)) *server {
	t.Helper()
	log := &testenv.Log{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	noSync := false
	engine, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir(), Sync: &noSync, MemoryMiB: 64},
		logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	sessions, err := hostadapter.New(t.Context(), hostadapter.Config{
		Backend: engine, Issuer: "http://op.example", Keys: [][]byte{bytes.Repeat([]byte("k"), 32)},
		Signer: signer{}, Clients: logout.ClientMap{},
		Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sessions.Close() })
	config := account.Config{Sessions: sessions, ClientName: func(id string) string { return "The " + id }}
	for _, c := range change {
		c(&config)
	}
	mux := http.NewServeMux()
	mux.Handle("/me/", account.Handler(config))
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		if _, err := sessions.SignIn(w, r,
			hostadapter.Identity{
				Subject: r.FormValue("user"), DisplayName: "<" + r.FormValue("user") + ">",
			}); err != nil {
			t.Error(err)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return &server{t: t, sessions: sessions, engine: engine, log: log, url: s.URL, client: s.Client()}
}

// browser is a user's browser with its own user agent.
type browser struct {
	s     *server
	agent string
	http  *http.Client
}

func (s *server) browser(agent, user string) *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	b := &browser{s: s, agent: agent, http: &http.Client{
		// Not the default transport: closing any test server closes its connections.
		Transport: s.client.Transport, Jar: jar,
	}}
	if user != "" {
		b.do(http.MethodGet, "/login?user="+user, nil)
	}
	return b
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(method, path string, form url.Values, headers ...string) *answer {
	b.s.t.Helper()
	r, err := http.NewRequestWithContext(b.s.t.Context(), method, b.s.url+path,
		strings.NewReader(form.Encode()))
	if err != nil {
		b.s.t.Fatal(err)
	}
	r.Header.Set("User-Agent", b.agent)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := b.http.Do(r)
	if err != nil {
		b.s.t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		b.s.t.Fatal(err)
	}
	return &answer{response.StatusCode, response.Header, body.String()}
}

type listing struct {
	Sessions     []account.Session     `json:"sessions"`
	Applications []account.Application `json:"applications"`
	Token        string                `json:"token"`
}

func (b *browser) list() *listing {
	b.s.t.Helper()
	a := b.do(http.MethodGet, "/me/", nil, "Accept", "application/json")
	var l listing
	if err := json.Unmarshal([]byte(a.body), &l); a.status != http.StatusOK || err != nil {
		b.s.t.Fatalf("list: %d %s %v", a.status, a.body, err)
	}
	return &l
}

const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
	iphone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like " +
		"Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)

var hidden = regexp.MustCompile(`name="token" value="([^"]+)"`)

func TestOwnSessions(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	laptop, phone, other := s.browser(firefox, "ann"), s.browser(iphone, "ann"), s.browser(firefox, "bob")
	l := laptop.list()
	var shown []string
	for _, session := range l.Sessions {
		mark := ""
		if session.Current {
			mark = "*"
		}
		shown = append(shown, mark+session.Device+" "+session.RemoteAddr)
	}
	if diff := cmp.Diff([]string{"*Firefox on Linux 127.0.0.1", "Safari on iPhone 127.0.0.1"},
		shown); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
	_, err := s.sessions.Backend().Grants().Apply(t.Context(), &grantstore.Batch{
		OperationID: "op",
		Use:         &grantstore.Use{SessionID: l.Sessions[1].SessionID, ClientID: "shop", Notify: true},
	}, s.sessions.Operations().Now())
	if err != nil {
		t.Fatal(err)
	}
	page := laptop.do(http.MethodGet, "/me/", nil, "Accept", "text/html")
	for _, want := range []string{
		"&lt;ann&gt;", "this device", "Safari on iPhone", "The shop", "Sign out everywhere else",
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("page has no %q: %s", want, page.body)
		}
	}
	if policy := page.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy,
		"default-src 'none'") || page.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", page.header)
	}
	// One session: by the page's form, which returns to the page.
	token := hidden.FindStringSubmatch(page.body)[1]
	back := laptop.do(http.MethodPost, "/me/end",
		url.Values{"token": {token}, "session_id": {l.Sessions[1].SessionID}}, "Accept", "text/html")
	if back.status != http.StatusOK || strings.Contains(back.body, "iPhone") {
		t.Errorf("after it: %d %s, want the page without the phone", back.status, back.body)
	}
	if got := phone.do(http.MethodGet, "/me/", nil); got.status != http.StatusUnauthorized {
		t.Errorf("the phone: %d, want it signed out", got.status)
	}
	notifications, err := s.sessions.Operations().QueryNotifications(t.Context(), logout.NotificationQuery{})
	if err != nil || len(notifications.Notifications) != 1 ||
		notifications.Notifications[0].Reason != logout.UserLogout {
		t.Errorf("notifications %+v, %v; want one of user_logout", notifications, err)
	}
	// All others.
	for range 3 {
		s.browser(iphone, "ann")
	}
	ended := laptop.do(http.MethodPost, "/me/end-others", url.Values{"token": {token}}, "Accept",
		"application/json")
	if ended.status != http.StatusOK || strings.TrimSpace(ended.body) != `{"sessions_ended":3}` ||
		len(laptop.list().Sessions) != 1 {
		t.Errorf("all others: %d %s", ended.status, ended.body)
	}
	if len(other.list().Sessions) != 1 {
		t.Error("another user's session ended")
	}
	// This one.
	laptop.do(http.MethodPost, "/me/end",
		url.Values{"token": {token}, "session_id": {l.Sessions[0].SessionID}}, "Accept", "application/json")
	if got := laptop.do(http.MethodGet, "/me/", nil); got.status != http.StatusUnauthorized {
		t.Errorf("the laptop: %d, want it signed out", got.status)
	}
}

// TestApplications: users see their consents, and revoke them together with the tokens issued for them.
func TestApplications(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ann, bob := s.browser(firefox, "ann"), s.browser(firefox, "bob")
	now := s.sessions.Operations().Now()
	var tokens []grantstore.Grant
	for _, who := range []struct{ subject, client string }{
		{"ann", "shop"}, {"ann", "mail"}, {"bob", "shop"},
	} {
		err := s.sessions.Consents().Remember(t.Context(), who.subject, who.client,
			[]string{"photos", "email"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, grantstore.Grant{
			Ref: grantstore.Ref{
				Type: grantstore.RefreshToken, Key: ticketstore.KeyOf(who.subject + who.client),
			}, RequestID: "r",
			SubjectID: who.subject, ClientID: who.client, Created: now, Expires: now.Add(time.Hour),
			Data: []byte("d"),
		})
	}
	batch := &grantstore.Batch{OperationID: "op", Store: tokens}
	if _, err := s.sessions.Backend().Grants().Apply(t.Context(), batch, now); err != nil {
		t.Fatal(err)
	}
	list := ann.list()
	var shown []string
	for _, app := range list.Applications {
		shown = append(shown, app.Name+" "+strings.Join(app.Scopes, "+"))
		if app.Given.Sub(now).Abs() > time.Minute {
			t.Errorf("%s: given %s, want about now", app.Name, app.Given)
		}
	}
	if diff := cmp.Diff([]string{"The shop email+photos", "The mail email+photos"}, shown); diff != "" {
		t.Errorf("applications (-want +got):\n%s", diff)
	}
	page := ann.do(http.MethodGet, "/me/", nil, "Accept", "text/html")
	for _, want := range []string{
		"What you have allowed", "The mail", "email, photos", `name="client_id" value="shop"`,
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("page has no %q: %s", want, page.body)
		}
	}
	// No other session can revoke it.
	form := url.Values{"token": {bob.list().Token}, "client_id": {"shop"}}
	if got := ann.do(http.MethodPost, "/me/revoke", form, "Accept",
		"application/json"); got.status != http.StatusForbidden {
		t.Errorf("with another session's token: %d, want 403", got.status)
	}
	if got := ann.do(http.MethodGet, "/me/revoke?client_id=shop",
		nil); got.status != http.StatusMethodNotAllowed {
		t.Errorf("by GET: %d, want 405", got.status)
	}
	form.Set("token", list.Token)
	back := ann.do(http.MethodPost, "/me/revoke", form, "Accept", "text/html")
	if back.status != http.StatusOK || strings.Contains(back.body, "The shop") ||
		!strings.Contains(back.body, "The mail") {
		t.Errorf("after it: %d %s, want the page without the shop", back.status, back.body)
	}
	for i, want := range []error{ticketstore.ErrNotFound, nil, nil} {
		_, err := s.sessions.Backend().Grants().Get(t.Context(), tokens[i].Ref, now)
		if !errors.Is(err, want) {
			t.Errorf("token of %s for %s: got %v, want %v", tokens[i].SubjectID, tokens[i].ClientID, err,
				want)
		}
	}
	if len(ann.list().Sessions) != 1 || len(bob.list().Applications) != 1 {
		t.Error("want ann signed in, and bob's consent kept")
	}
}

// TestOnlyTheUserEndsASession: not a different site, nor a different user, nor a page of a different session.
func TestOnlyTheUserEndsASession(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ann, eve := s.browser(firefox, "ann"), s.browser(firefox, "eve")
	a, e := ann.list(), eve.list()
	sid := a.Sessions[0].SessionID
	form := func(token, sid string) url.Values { return url.Values{"token": {token}, "session_id": {sid}} }
	for name, test := range map[string]struct {
		b       *browser
		form    url.Values
		headers []string
		status  int
	}{
		"another user's sid":      {eve, form(e.Token, sid), nil, http.StatusNotFound},
		"another session's token": {ann, form(e.Token, sid), nil, http.StatusForbidden},
		"no token":                {ann, form("", sid), nil, http.StatusForbidden},
		"a forged token":          {ann, form(strings.Repeat("A", 80), sid), nil, http.StatusForbidden},
		"another site": {
			ann, form(a.Token, sid), []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden,
		},
		"another origin": {
			ann, form(a.Token, sid), []string{"Origin", "https://evil.example"}, http.StatusForbidden,
		},
		"no session": {
			s.browser(firefox, ""), form(a.Token, sid), nil, http.StatusUnauthorized,
		},
		"an invalid sid": {
			ann, form(a.Token, strings.Repeat("x", 600)), nil, http.StatusBadRequest,
		},
		"no sid": {ann, form(a.Token, ""), nil, http.StatusBadRequest},
		"a form that is too long": {
			ann, form(a.Token, strings.Repeat("x", 20_000)), nil, http.StatusBadRequest,
		},
		"a body that is not a form": {
			ann, form(a.Token, sid), []string{"Content-Type", "application/json"},
			http.StatusUnsupportedMediaType,
		},
		"a sid of a session long gone": {ann, form(a.Token, "gone"), nil, http.StatusNotFound},
	} {
		if got := test.b.do(http.MethodPost, "/me/end", test.form,
			append(test.headers, "Accept", "application/json")...); got.status != test.status {
			t.Errorf("%s: %d %s, want %d", name, got.status, got.body, test.status)
		}
	}
	// A browser is shown the current page instead.
	if got := ann.do(http.MethodPost, "/me/end", form(e.Token, sid)); got.status != http.StatusOK ||
		!strings.Contains(got.body, "this device") {
		t.Errorf("another session's page: %d %s, want the user's own", got.status, got.body)
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		if got := ann.do(method, "/me/end?session_id="+sid+"&token="+a.Token,
			nil); got.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d, want 405", method, got.status)
		}
	}
	if got := ann.do(http.MethodDelete, "/me/", nil); got.status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE of the page: %d, want 405", got.status)
	}
	if len(ann.list().Sessions) != 1 {
		t.Error("ann's session ended")
	}
}

// A change without a session is in the audit log as refused, even if the host's sign-in page answers.
func TestAuditOfChangesWithoutASession(t *testing.T) {
	t.Parallel()
	for name, signIn := range map[string]http.Handler{
		"a page with 401": nil,
		"sign-in": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("sign in"))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := make(chan map[string]any, 100)
			s := newServer(t, func(c *account.Config) { c.SignIn, c.Audit = signIn, auditTo(lines) })
			b := s.browser(firefox, "")
			b.do(http.MethodGet, "/me/", nil) // no change
			for range 100 {                   // anybody may send them
				b.do(http.MethodPost, "/me/end-others", url.Values{"token": {"stale"}})
			}
			var line map[string]any
			select {
			case line = <-lines:
			case <-time.After(testenv.Patience):
				t.Fatal("the audit has no line")
			}
			if line["action"] != "end_other_sessions" || line["result"] != "refused" ||
				line["status"] != int64(http.StatusUnauthorized) || line["request_id"] == "" {
				t.Errorf("the audit has %v, want a change that was refused with 401", line)
			}
			if actor, said := line["actor_id"]; said {
				t.Errorf("the audit line has the actor %v, want none", actor)
			}
			if more := len(lines); more > 50 {
				t.Errorf("the audit has %d more lines of 100 requests, want one a second", more)
			}
		})
	}
}

// While the store is unavailable, the log has at most one line per second.
func TestOutageLogIsBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b := s.browser(firefox, "ann")
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if a := b.do(http.MethodGet, "/me/", nil); a.status != http.StatusServiceUnavailable {
			t.Fatalf("want 503 without a store, got %d %s", a.status, a.body)
		}
	}
	if lines := strings.Count(s.log.String(), "a user's sessions were not served"); lines < 1 || lines > 50 {
		t.Errorf("the log has %d lines of 100 requests, want one a second", lines)
	}
}

// auditTo is a handler that sends the audit lines to a test.
type auditTo chan map[string]any

func (auditTo) Enabled(context.Context, slog.Level) bool { return true }
func (a auditTo) WithAttrs([]slog.Attr) slog.Handler     { return a }
func (a auditTo) WithGroup(string) slog.Handler          { return a }

func (a auditTo) Handle(_ context.Context, record slog.Record) error {
	line := map[string]any{}
	record.Attrs(func(attr slog.Attr) bool { line[attr.Key] = attr.Value.Any(); return true })
	a <- line
	return nil
}

func TestHostsOwnPages(t *testing.T) {
	t.Parallel()
	var page *account.Page
	s := newServer(t, func(c *account.Config) {
		c.Page = func(_ http.ResponseWriter, _ *http.Request, p *account.Page) { page = p }
		c.SignIn = http.RedirectHandler("/login?user=ann", http.StatusSeeOther)
	})
	b := s.browser(firefox, "")
	b.do(http.MethodGet, "/me/", nil)
	b.do(http.MethodGet, "/me/", nil)
	if page == nil || page.UserName != "<ann>" || len(page.Sessions) != 1 || page.Token == "" {
		t.Errorf("page %+v", page)
	}
}

func TestConfigNeedsSessions(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("Handler without sessions succeeded, want a panic")
		}
	}()
	account.Handler(account.Config{})
}

// noReader is the connection of a disconnected browser.
type noReader struct{ *httptest.ResponseRecorder }

func (noReader) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// A browser that disconnected before its answer was written is not logged as a store failure.
func TestDisconnectedBrowser(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b := s.browser(firefox, "ann")
	handler := account.Handler(account.Config{Sessions: s.sessions})
	for _, accept := range []string{"text/html", "application/json"} {
		r := httptest.NewRequest(http.MethodGet, s.url+"/me/", nil)
		for _, cookie := range b.http.Jar.Cookies(r.URL) {
			r.AddCookie(cookie)
		}
		r.Header.Set("Accept", accept)
		w := noReader{httptest.NewRecorder()}
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK || strings.Contains(s.log.String(), "level=ERROR") {
			t.Errorf("%s: status %d, and the log has:\n%s", accept, w.Code, s.log.String())
		}
	}
}
